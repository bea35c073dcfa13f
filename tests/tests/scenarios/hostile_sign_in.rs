//! Sign-ins, and looks before one, that ask for what cannot be.

use std::collections::HashMap;
use std::fs;

use mooring_tests::World;
use zbus::Variant;

use crate::calls::{Caller, Dict, MANAGER, MIB};

/// Paths that are none, or lead elsewhere.
pub fn paths() -> Vec<Vec<u8>> {
    let plain: [&[u8]; 6] = [
        b"",
        b"/",
        b"relative",
        b"/a\0b",
        b"/tmp/../etc",
        b"/tmp/./x",
    ];
    let long = [[b'/'; 5000].to_vec(), vec![b'/'; MIB]];
    let deep = [&b"/"[..], &[b'x'; 5000]].concat();
    plain
        .map(<[u8]>::to_vec)
        .into_iter()
        .chain(long)
        .chain([deep])
        .collect()
}

/// Options with a storage and one more.
fn with<'a>(storage: &'a [u8], key: &'a str, value: Variant<'a>) -> Dict<'a> {
    HashMap::from([("storage", Variant::from(storage)), (key, value)])
}

/// Tries them all; nothing is made.
pub async fn hostile_sign_ins(caller: &mut Caller, world: &World) {
    let folder = world.folder().join("new storage");
    fs::create_dir(&folder).unwrap();
    let new = folder.clone().into_os_string().into_encoded_bytes();
    for member in ["Inspect", "SignIn"] {
        for path in paths() {
            let options = Dict::from([("storage", Variant::from(path.as_slice()))]);
            sign_in(caller, member, "local", "bob", &options).await;
            // No path at all is the default folder.
            if !path.is_empty() {
                let roots = vec![("photos", path.as_slice())];
                let options = with(&new, "collections", roots.into());
                sign_in(caller, member, "local", "bob", &options).await;
            }
        }
        for provider in [
            "",
            "Local",
            "nextcloud",
            "local\0",
            "../local",
            &"x".repeat(MIB),
        ] {
            if !provider.contains('\0') {
                sign_in(
                    caller,
                    member,
                    provider,
                    "bob",
                    &with(&new, "create", true.into()),
                )
                .await;
            }
        }
        let huge = "x".repeat(MIB);
        let lists: [Vec<(&str, &[u8])>; 7] = [
            vec![(&huge, b"")],
            vec![],
            vec![("photos", b""), ("photos", b"")],
            vec![("Photos", b"")],
            vec![("../etc", b"")],
            vec![("", b"")],
            vec![("photos", b"/x"); 100_000],
        ];
        for list in lists {
            sign_in(
                caller,
                member,
                "local",
                "bob",
                &with(&new, "collections", list.into()),
            )
            .await;
        }
        sign_in(caller, member, "local", "bob", &Dict::new()).await;
        for (key, value) in [
            ("collections", Variant::from("photos")),
            ("adopt", Variant::from("yes")),
            ("create", Variant::from(1u32)),
            ("password", Variant::from("secret")),
            ("device", Variant::from(vec![1u8])),
            ("recovery-code", Variant::from(3i32)),
        ] {
            let options = with(&new, key, value);
            match member {
                "Inspect" => {
                    caller
                        .expect_wrong_type(MANAGER, member, &("local", options))
                        .await;
                }
                _ => {
                    caller
                        .expect_wrong_type(MANAGER, member, &("local", "bob", options))
                        .await
                }
            }
        }
    }
    let names = [
        "",
        "a\nb",
        "a/b",
        "..",
        ".hidden",
        "-rf",
        " bob",
        "🐚",
        "bob\u{202e}",
        "a b",
        &"x".repeat(65),
        &"x".repeat(MIB),
    ];
    for name in names {
        sign_in(
            caller,
            "SignIn",
            "local",
            name,
            &with(&new, "create", true.into()),
        )
        .await;
    }
    for device in [
        "",
        " x",
        ".x",
        "a/b",
        "a\nb",
        &"x".repeat(65),
        &"x".repeat(MIB),
    ] {
        sign_in(
            caller,
            "SignIn",
            "local",
            "bob",
            &with(&new, "device", device.into()),
        )
        .await;
    }
    // No consent, no password, nobody for the code.
    for create in [false, true] {
        let options = with(&new, "create", create.into());
        sign_in(caller, "SignIn", "local", "bob", &options).await;
    }
    assert!(world.manifest(folder).0.is_empty(), "nothing was made");
    caller.ping().await;
}

async fn sign_in(
    caller: &mut Caller,
    member: &str,
    provider: &str,
    name: &str,
    options: &Dict<'_>,
) {
    match member {
        "Inspect" => {
            caller
                .expect(MANAGER, member, &(provider, options), "InvalidArgument")
                .await
        }
        _ => {
            caller
                .expect(
                    MANAGER,
                    member,
                    &(provider, name, options),
                    "InvalidArgument",
                )
                .await
        }
    }
}
