//! Arguments of the right types that no sane client sends, to every method that takes any: paths
//! that lead elsewhere, names that are none, lists without an end.

use mooring_tests::World;
use zbus::Variant;

use crate::calls::{
    ACCOUNT, Caller, DEVICES, Dict, FILES, JOB, MANAGER, MIB, everything, expect_one_account,
    methods,
};
use crate::hostile_sign_in::{hostile_sign_ins, paths};
use crate::stage::{PASSWORD, belongings, piped, signed_in};

#[tokio::test]
async fn every_method_refuses_hostile_arguments() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut caller = Caller::new(&world).await;
    let all = everything(&world);
    hostile_sign_ins(&mut caller, &world).await;
    hostile_questions(&mut caller).await;
    hostile_sign_outs(&mut caller).await;
    hostile_files(&mut caller).await;
    hostile_passwords(&mut caller).await;
    hostile_devices(&mut caller).await;
    jobs_that_have_ended(&mut caller).await;
    objects_that_are_not_there(&mut caller).await;
    caller.ping().await;
    before.assert_same(&belongings(&world));
    assert_eq!(
        all.0.differences(&everything(&world).0),
        Vec::<String>::new()
    );
    assert_eq!(
        all.1.differences(&everything(&world).1),
        Vec::<String>::new()
    );
    expect_one_account(&world).await;

    // Those that take nothing have nothing to refuse.
    let missing: Vec<_> = methods()
        .into_iter()
        .filter(|(_, _, kinds)| !kinds.is_empty())
        .map(|(interface, member, _)| (interface, member))
        .filter(|method| !caller.called.contains(method))
        .collect();
    assert!(
        missing.is_empty(),
        "methods without a hostile call: {missing:?}"
    );
}

async fn hostile_questions(caller: &mut Caller) {
    let id = caller.account.rsplit('/').next().unwrap().to_owned();
    let huge = "x".repeat(MIB);
    let nobody = ["", "a0000000000000000", "../..", "a\nb"];
    for account in nobody {
        let question = ("sign-out", account, "person");
        caller
            .expect(MANAGER, "ExplainPolicy", &question, "NotFound")
            .await;
    }
    let too_much = ("sign-out", huge.as_str(), "person");
    caller
        .expect(MANAGER, "ExplainPolicy", &too_much, "InvalidArgument")
        .await;
    for word in ["", "Sign-Out", "wipe", "sign-out\n", &huge] {
        let (verb, actor) = (
            (word, id.as_str(), "person"),
            ("sign-out", id.as_str(), word),
        );
        caller
            .expect(MANAGER, "ExplainPolicy", &verb, "InvalidArgument")
            .await;
        caller
            .expect(MANAGER, "ExplainPolicy", &actor, "InvalidArgument")
            .await;
    }
    for receipt in [
        "",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        ".hidden",
        "a\nb",
        &huge,
    ] {
        caller
            .expect(MANAGER, "ReadReceipt", &(receipt,), "InvalidArgument")
            .await;
    }
    let unknown = ("20000101T000000Z-alice-00000000",);
    caller
        .expect(MANAGER, "ReadReceipt", &unknown, "NotFound")
        .await;
    for word in ["", "a\nb", "a\u{1b}[2J", &huge] {
        let wrong = [
            (word, "an app", "it writes", "delay"),
            ("sign-out", word, "it writes", "delay"),
            ("sign-out", "an app", word, "delay"),
            ("sign-out", "an app", "it writes", word),
        ];
        for arguments in wrong {
            caller
                .expect(MANAGER, "Inhibit", &arguments, "InvalidArgument")
                .await;
        }
    }
}

async fn hostile_sign_outs(caller: &mut Caller) {
    let huge = "x".repeat(MIB);
    let lists: [Vec<&str>; 7] = [
        vec![&huge],
        vec!["nothing"],
        vec![""],
        vec!["photos", "../etc"],
        vec!["PHOTOS"],
        vec!["photos"; 17],
        vec!["photos"; 100_000],
    ];
    for list in lists {
        let keep = Dict::from([("keep", Variant::from(list))]);
        caller
            .expect(ACCOUNT, "PlanSignOut", &(&keep,), "InvalidArgument")
            .await;
        caller
            .expect(ACCOUNT, "SignOut", &("", &keep), "InvalidArgument")
            .await;
    }
    for wrong in [
        Variant::from("photos"),
        Variant::from(true),
        Variant::from(vec![1u8]),
    ] {
        let keep = Dict::from([("keep", wrong)]);
        caller
            .expect_wrong_type(ACCOUNT, "PlanSignOut", &(&keep,))
            .await;
        caller
            .expect_wrong_type(ACCOUNT, "SignOut", &("", &keep))
            .await;
    }
    let none = Dict::new();
    let long = "0".repeat(MIB);
    caller
        .expect(ACCOUNT, "SignOut", &(long, &none), "InvalidArgument")
        .await;
    for digest in [
        "",
        "0",
        "0123456789abcdef0123456789abcdef",
        "../../etc/passwd",
        "🐚",
    ] {
        caller
            .expect(ACCOUNT, "SignOut", &(digest, &none), "PlanStale")
            .await;
    }
}

async fn hostile_files(caller: &mut Caller) {
    let huge = "x".repeat(MIB);
    for answer in ["", "Delete", "yes", "delete\n", &huge] {
        caller
            .expect(FILES, "Resolve", &(answer,), "InvalidArgument")
            .await;
    }
    for path in paths() {
        caller
            .expect(FILES, "Backup", &(&path,), "InvalidArgument")
            .await;
        caller
            .expect(FILES, "Restore", &(&path, Dict::new()), "InvalidArgument")
            .await;
        let to = Dict::from([("to", Variant::from(path.as_slice()))]);
        caller
            .expect(
                FILES,
                "Restore",
                &("/nowhere".as_bytes(), to),
                "InvalidArgument",
            )
            .await;
        // Of these some are good paths, but none is that of a file of Alice's.
        let (name, said) = caller.refused(FILES, "Why", &(&path,)).await;
        let expected = ["InvalidArgument", "NotFound"].map(|k| format!("org.mooring1.Error.{k}"));
        assert!(expected.contains(&name), "Why: {name}: {said}");
    }
    for path in [&b"relative"[..], b"", b"/a\0b", &[b'/'; 5000]] {
        for member in ["Undelete", "UndeleteDamaged"] {
            caller
                .expect(FILES, member, &(path,), "InvalidArgument")
                .await;
        }
    }
    for below in [
        &b"/absolute"[..],
        b"..",
        b"a/../b",
        b"./a",
        b"a//b",
        b"a\0b",
        &[b'x'; 5000],
    ] {
        let options = Dict::from([("path", Variant::from(below))]);
        let call = ("/nowhere".as_bytes(), options);
        caller
            .expect(FILES, "Restore", &call, "InvalidArgument")
            .await;
    }
    let wrong = Dict::from([("path", Variant::from("text"))]);
    caller
        .expect_wrong_type(FILES, "Restore", &("/nowhere".as_bytes(), wrong))
        .await;
}

async fn hostile_passwords(caller: &mut Caller) {
    let fd = |text: &str| Variant::from(zbus::Fd::from(std::os::fd::OwnedFd::from(piped(text))));
    let none = Dict::new();
    for member in ["ChangePassword", "ResetPassword"] {
        caller
            .expect(ACCOUNT, member, &(&none,), "InvalidArgument")
            .await;
        for key in [
            "password",
            "new-password",
            "recovery-code",
            "new-recovery-code",
        ] {
            let wrong = Dict::from([(key, Variant::from("as text"))]);
            let (name, said) = caller.refused(ACCOUNT, member, &(wrong,)).await;
            assert!(
                name.ends_with(".InvalidArgs") || name.ends_with(".InvalidArgument"),
                "{said}"
            );
            let alone = Dict::from([(key, fd(PASSWORD))]);
            caller
                .expect(ACCOUNT, member, &(alone,), "InvalidArgument")
                .await;
        }
    }
    let new = Dict::from([("password", fd(PASSWORD)), ("new-password", fd(""))]);
    caller
        .expect(ACCOUNT, "ChangePassword", &(new,), "InvalidArgument")
        .await;
    let long = "x".repeat(5000);
    let new = Dict::from([("password", fd(PASSWORD)), ("new-password", fd(&long))]);
    caller
        .expect(ACCOUNT, "ChangePassword", &(new,), "InvalidArgument")
        .await;
    for text in ["", &long] {
        caller
            .expect(
                ACCOUNT,
                "Reauthenticate",
                &(piped(text),),
                "InvalidArgument",
            )
            .await;
    }
    for member in ["CheckPolicy", "SimulatePolicy"] {
        let named = ("x".repeat(MIB), piped("# a policy"));
        caller
            .expect(MANAGER, member, &named, "InvalidArgument")
            .await;
    }
    for member in ["CheckBundle", "SimulateBundle"] {
        let named = ("x".repeat(1_000), piped("version = 1"), piped(""));
        caller
            .expect(MANAGER, member, &named, "InvalidArgument")
            .await;
    }
    caller.expect_wrong_type(ACCOUNT, "Repair", &("yes",)).await;
}

async fn hostile_devices(caller: &mut Caller) {
    let huge = "0".repeat(MIB);
    for device in ["", "..", "../../receipts", "A B", "0\n", &huge] {
        caller
            .expect(DEVICES, "SignOut", &(device,), "InvalidArgument")
            .await;
    }
    let nobody = "0123456789abcdef0123456789abcdef";
    caller
        .expect(DEVICES, "SignOut", &(nobody,), "InvalidArgument")
        .await;
}

async fn jobs_that_have_ended(caller: &mut Caller) {
    caller.expect(JOB, "Cancel", &(), "InvalidArgument").await;
    caller
        .expect(JOB, "Retry", &(Dict::new(),), "InvalidArgument")
        .await;
    caller
        .expect(JOB, "Authenticate", &(piped(PASSWORD),), "InvalidArgument")
        .await;
    let wrong = Dict::from([("keep-here", Variant::from("yes"))]);
    caller.expect_wrong_type(JOB, "Retry", &(wrong,)).await;
}

async fn objects_that_are_not_there(caller: &mut Caller) {
    let none = Dict::new();
    for path in [
        "/",
        "/org/mooring1/accounts/a0",
        "/org/mooring1/jobs/999",
        "/org/mooring1/jobs",
    ] {
        for (interface, member) in [(ACCOUNT, "PlanSignOut"), (FILES, "Sync"), (JOB, "Cancel")] {
            let (name, _) = caller.refused_at(path, interface, member, &(&none,)).await;
            let unknown = ["UnknownObject", "UnknownInterface", "UnknownMethod"];
            let known = unknown.map(|kind| format!("org.freedesktop.DBus.Error.{kind}"));
            assert!(known.contains(&name), "{path} {member}: {name}");
        }
    }
    let (name, _) = caller
        .refused_at("/org/mooring1", MANAGER, "Forget", &())
        .await;
    assert_eq!(name, "org.freedesktop.DBus.Error.UnknownMethod");
    caller
        .called
        .remove(&(MANAGER.to_owned(), "Forget".to_owned()));
}
