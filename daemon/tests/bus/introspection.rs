//! The live interfaces are the checked-in ones, argument by argument.

use std::collections::BTreeSet;

use crate::world::World;

/// The tags of one interface of a document, in their order within a member, members sorted;
/// comments and white space gone.
fn interface(xml: &str, name: &str) -> BTreeSet<String> {
    let open = format!("<interface name=\"{name}\">");
    let from = xml
        .find(&open)
        .unwrap_or_else(|| panic!("no {name} in {xml}"))
        + open.len();
    let to = from + xml[from..].find("</interface>").unwrap();
    let mut body = xml[from..to].to_owned();
    while let Some(start) = body.find("<!--") {
        let end = start + body[start..].find("-->").unwrap() + 3;
        body.replace_range(start..end, "");
    }
    let mut members = BTreeSet::new();
    let mut member = String::new();
    let mut depth = 0;
    for tag in body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap().trim();
        member.push_str(&normal(tag));
        depth += match tag {
            closing if closing.starts_with('/') => -1,
            single if single.ends_with('/') => 0,
            _ => 1,
        };
        if depth == 0 {
            let collapsed = std::mem::take(&mut member).replace("></method>", "/>");
            assert!(members.insert(collapsed));
        }
    }
    members
}

/// A tag with its attributes sorted.
fn normal(tag: &str) -> String {
    let single = tag.ends_with('/') && !tag.starts_with('/');
    let tag = if single {
        tag.trim_end_matches('/').trim()
    } else {
        tag
    };
    let mut words = tag.split_whitespace();
    let name = words.next().unwrap();
    let attributes: BTreeSet<&str> = words.collect();
    let mut text = format!("<{name}");
    for attribute in attributes {
        text.push(' ');
        text.push_str(attribute);
    }
    text.push_str(if single { "/>" } else { ">" });
    text
}

#[tokio::test]
async fn the_live_interfaces_are_the_contract() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let account = format!("/org/mooring1/accounts/{}", running.account_id());
    let places = [
        ("org.mooring1.Manager", "/org/mooring1"),
        ("org.mooring1.Account", account.as_str()),
        ("org.mooring1.Account.Files", account.as_str()),
        ("org.mooring1.Account.Devices", account.as_str()),
        ("org.mooring1.Job", "/org/mooring1/jobs/1"),
    ];
    for (name, xml) in mooring_api::INTROSPECTION {
        let (_, path) = places.iter().find(|(n, _)| *n == name).unwrap();
        let live = zbus::fdo::IntrospectableProxy::builder(&running.client)
            .destination("org.mooring1")
            .path(*path)
            .build()
            .await
            .unwrap()
            .introspect()
            .await
            .unwrap();
        let (live, contract) = (interface(&live, name), interface(xml, name));
        let missing: Vec<_> = contract.difference(&live).collect();
        let extra: Vec<_> = live.difference(&contract).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{name}: -{missing:#?} +{extra:#?}"
        );
    }
}

#[tokio::test]
async fn another_user_is_refused() {
    let world = World::new();
    let running = world.start_as(nix::unistd::getuid().as_raw() + 1).await;
    let error = running.manager.show_policy().await.unwrap_err();
    assert_eq!(error.kind(), "NotAuthorized");
    assert_eq!(
        running.manager.reload().await.unwrap_err().kind(),
        "NotAuthorized"
    );
}
