//! A person is asked, answers, does not answer, or is gone before they could.

use crate::agent::{Agent, Person, Told};
use crate::calls::{Call, Wish};
use crate::device::{ANNA, Device};
use crate::stand_in::{GIVE_UP, SOON};

const SIGN_OUT: &str = "org.mooring1.sign-out";
const MESSAGE: &str = "Authentication is required to sign alice out of this device";

fn sign_out(why: &str) -> Wish<'_> {
    Wish {
        uid: ANNA,
        what: "sign-out",
        why,
        interactive: true,
    }
}

/// A call under way, and its agent, which has been told to ask.
async fn asked(why: &str, person: Person) -> (Call, Agent) {
    let mut call = sign_out(why).call();
    let mut agent = Agent::of(&call.process, person).await;
    call.go();
    let ask = Told::Ask(SIGN_OUT.to_owned(), MESSAGE.to_owned());
    assert_eq!(agent.next().await, ask);
    (call, agent)
}

#[tokio::test]
async fn whoever_proves_who_they_are_is_let_in() {
    let _device = Device::new(&[]).await;
    let (call, _agent) = asked("", Person::Knows).await;
    assert_eq!(call.answer().await, Ok(()));
}

#[tokio::test]
async fn a_dialog_that_is_closed_is_a_no() {
    let _device = Device::new(&[]).await;
    let (call, _agent) = asked("", Person::Dismisses).await;
    let why = call.answer().await.unwrap_err();
    assert!(
        why.contains("no password of this device was given"),
        "{why}"
    );
}

#[tokio::test]
async fn with_nobody_to_ask_it_says_what_to_do() {
    let _device = Device::new(&[]).await;
    let why = sign_out("").answer().await.unwrap_err();
    assert!(why.contains("there is nobody to ask for one"), "{why}");
}

#[tokio::test]
async fn a_call_that_cannot_wait_asks_nobody() {
    let _device = Device::new(&[]).await;
    let quiet = Wish {
        interactive: false,
        ..sign_out("")
    };
    let mut call = quiet.call();
    let mut agent = Agent::of(&call.process, Person::Knows).await;
    call.go();
    let why = call.answer().await.unwrap_err();
    assert!(why.contains("this call cannot wait for one"), "{why}");
    // The first thing that the agent hears is the call after it.
    let (call, mut second) = asked("", Person::Knows).await;
    assert_eq!(call.answer().await, Ok(()));
    assert!(agent.heard_nothing() && second.heard_nothing());
}

#[tokio::test]
async fn a_question_has_a_bound_and_is_taken_back() {
    let _device = Device::new(&[]).await;
    let (call, mut agent) = asked(SOON, Person::Sleeps).await;
    assert_eq!(agent.next().await, Told::Cancel);
    let why = call.answer().await.unwrap_err();
    assert!(why.contains("within 1 s"), "{why}");
}

#[tokio::test]
async fn the_question_of_a_call_that_is_dropped_is_taken_back() {
    let device = Device::new(&[]).await;
    let (call, mut agent) = asked(GIVE_UP, Person::Sleeps).await;
    assert_eq!(agent.next().await, Told::Cancel);
    assert!(call.answer().await.is_err());
    device.verdicts.wait_for("given up").await;
}

#[tokio::test]
async fn a_caller_that_vanishes_takes_its_question_along() {
    let device = Device::new(&[]).await;
    let (mut call, mut agent) = asked("", Person::Sleeps).await;
    call.process.kill();
    assert_eq!(agent.next().await, Told::Cancel);
    device
        .verdicts
        .wait_for("whoever called has left the bus")
        .await;
}

#[tokio::test]
async fn the_questions_of_a_daemon_that_dies_go_with_it() {
    let mut device = Device::new(&[]).await;
    let (_call, mut agent) = asked("", Person::Sleeps).await;
    device.kill_service();
    assert_eq!(agent.next().await, Told::Cancel);
}

#[tokio::test]
async fn polkit_that_dies_in_mid_question_is_a_no() {
    let mut device = Device::new(&[]).await;
    let (call, _agent) = asked("", Person::Sleeps).await;
    device.polkitd.kill();
    let why = call.answer().await.unwrap_err();
    assert!(why.contains("systemctl start polkit"), "{why}");
}
