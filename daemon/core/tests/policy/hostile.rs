//! Texts that are wrong, each answered with its place and with advice.

use mooring_core::policy::{
    Demands, MAX_FILE_BYTES, MAX_FILES, MAX_LIST, MAX_PROBLEMS, MAX_RULES, MAX_RULES_PER_FILE,
    Source, check, unite,
};

use crate::{HEAD, source};

fn complaints(text: &str) -> Vec<String> {
    check(&source("a.toml", text))
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The complaints about a rule whose lines, from 7 on, follow a good head, name and reason.
fn about_rule(lines: &str) -> Vec<String> {
    complaints(&format!(
        "{HEAD}[[rule]]\nname = \"n\"\nreason = \"r\"\n{lines}"
    ))
}

/// The places alone.
fn places(found: &[String]) -> Vec<&str> {
    found
        .iter()
        .map(|text| &text[..text.find(": ").unwrap()])
        .collect()
}

#[test]
fn nothing_and_comments_are_good() {
    for text in [
        "",
        "\n",
        "# all comments\n",
        "\u{feff}# after a byte order mark\n",
        "\r\n#\r\n",
    ] {
        assert_eq!(complaints(text), [""; 0], "{text:?}");
    }
    assert_eq!(complaints(HEAD), [""; 0]);
}

#[test]
fn a_byte_order_mark_moves_no_column() {
    assert_eq!(
        complaints("\u{feff}rules = 1\n"),
        ["a.toml:1:1: there is no key `rules` in this file: did you mean `rule`?"]
    );
}

#[test]
fn misspelt_keys_are_recognised() {
    assert_eq!(
        about_rule("sign_out = \"deny\"\nactor = [\"person\"]\nexpires = 2030-01-01\n"),
        [
            "a.toml:4:1: this rule demands nothing: add sign-out = \"deny\" or data = \"keep\"",
            "a.toml:7:1: there is no key `sign_out` in [[rule]]: did you mean `sign-out`?",
            "a.toml:8:1: there is no key `actor` in [[rule]]: did you mean `actors`?",
            &format!(
                "a.toml:9:1: there is no key `expires` in [[rule]]: use name, reason, actors, \
                 identities, providers, people, groups, hosts, systems, system-versions, \
                 collections, metered, {}, or remove it",
                Demands::KEYS.join(", ")
            ),
        ]
    );
    for (slip, meant) in [
        ("only-identites = [\"a\"]", "only-identities"),
        ("require_account = \"a\"", "require-account"),
        ("backup-maxage = \"7d\"", "backup-max-age"),
        ("hour = \"Mon 08:00-09:00\"", "hours"),
        ("signin = \"deny\"", "sign-in"),
    ] {
        let found = about_rule(slip).join("\n");
        assert!(
            found.contains(&format!("did you mean `{meant}`?")),
            "{found}"
        );
    }
    assert_eq!(
        complaints("[organization]\nname = \"x\"\n"),
        ["a.toml:1:2: there is no key `organization` in this file: did you mean `organisation`?"]
    );
}

#[test]
fn misspelt_words_are_recognised() {
    assert_eq!(
        about_rule("sign-out = \"dney\"\ndata = \"delete\"\nactors = [\"persons\", \"root\"]\n"),
        [
            "a.toml:7:12: `sign-out` cannot be `dney`: did you mean `deny`?",
            "a.toml:8:8: `data` cannot be `delete`: use remove, keep, ask, or remove it",
            "a.toml:9:11: `actors` cannot be `persons`: did you mean `person`?",
            "a.toml:9:22: `actors` cannot be `root`: use person, device, organisation, or remove it",
        ]
    );
    // What the join makes of two files, no single file can say.
    assert_eq!(about_rule("data = \"conflict\"\n").len(), 1);
}

#[test]
fn wrong_types_are_named() {
    let found = about_rule(
        "sign-out = true\ndata = [\"keep\"]\nactors = \"person\"\nidentities = [1, {}]\n\
         providers = 1979-05-27\n",
    );
    assert_eq!(
        found,
        [
            "a.toml:7:12: `sign-out` is allow or deny, in quotation marks, and this is true or \
             false: correct it",
            "a.toml:8:8: `data` is remove or keep or ask, in quotation marks, and this is a list: \
             correct it",
            "a.toml:9:10: `actors` is a list, as in actors = [\"…\"], and this is text: correct it",
            "a.toml:10:15: the entries of `identities` are text in quotation marks, and this is a \
             number: correct it",
            "a.toml:10:18: the entries of `identities` are text in quotation marks, and this is a \
             table: correct it",
            "a.toml:11:13: `providers` is a list, as in providers = [\"…\"], and this is a date: \
             correct it",
        ]
    );
    assert_eq!(
        complaints("organisation = 1\nrule = 2\n"),
        [
            "a.toml:1:16: `organisation` is the table [organisation], and this is a number: \
             correct it",
            "a.toml:2:8: there may be several: write [[rule]], with two brackets",
        ]
    );
    assert_eq!(
        complaints("[rule]\nname = \"n\"\n"),
        ["a.toml:1:1: there may be several: write [[rule]], with two brackets"]
    );
    assert_eq!(
        complaints("[[organisation]]\nname = \"n\"\n"),
        ["a.toml:1:1: there is one [organisation] in a file: write it with single brackets"]
    );
    assert_eq!(
        places(&complaints(&format!("rule = [1, 2.5]\n{HEAD}"))),
        ["a.toml:1:9", "a.toml:1:12"]
    );
}

#[test]
fn missing_keys_are_asked_for() {
    assert_eq!(
        complaints("[organisation]\n\n[[rule]]\nsign-out = \"deny\"\n"),
        [
            "a.toml:1:1: [organisation] has no `contact`: add contact = \"it@example.org, +49 30 \
             1234\"",
            "a.toml:1:1: [organisation] has no `name`: add name = \"Example GmbH\"",
            "a.toml:3:1: [[rule]] has no `name`: add name = \"what-it-does\"",
            "a.toml:3:1: [[rule]] has no `reason`: add reason = \"Why, for the person to read.\"",
        ]
    );
    assert_eq!(
        complaints("[[rule]]\nname = \"n\"\nreason = \"r\"\nsign-out = \"deny\"\n"),
        [
            "a.toml:1:1: nobody is named who gives this rule: add [organisation] with name and contact"
        ]
    );
}

#[test]
fn empty_values_are_refused() {
    let found = about_rule("data = \"\"\nactors = []\nidentities = [\"\"]\nproviders = []\n");
    assert_eq!(
        places(&found),
        ["a.toml:7:8", "a.toml:8:10", "a.toml:9:15", "a.toml:10:13"]
    );
    let found = complaints("[organisation]\nname = \"  \"\ncontact = \"\"\n");
    assert_eq!(places(&found), ["a.toml:2:8", "a.toml:3:11"]);
}

#[test]
fn names_and_sentences_are_one_plain_line() {
    let text = format!(
        "{HEAD}[[rule]]\nname = \"two words\"\nreason = \"a\\nb\"\nsign-out = \"deny\"\n\
         [[rule]]\nname = \"{}\"\nreason = \"\"\"a\nb\"\"\"\nsign-out = \"deny\"\n",
        "x".repeat(65)
    );
    assert_eq!(
        places(&complaints(&text)),
        ["a.toml:5:8", "a.toml:6:10", "a.toml:9:8", "a.toml:10:10"]
    );
    let found = about_rule(&format!(
        "sign-out = \"deny\"\nreasons = \"{}\"\n",
        "x".repeat(501)
    ));
    assert_eq!(places(&found), ["a.toml:8:1"]);
    let long = HEAD.replace("Example GmbH", &"ü".repeat(501));
    let found = complaints(&long);
    assert!(
        found[0].starts_with("a.toml:2:8: `name` is longer than 500 characters"),
        "{found:?}"
    );
}

#[test]
fn quoted_text_cannot_write_to_a_terminal() {
    for found in complaints("\"\\u001b[2J\" = 1\n\"a\\nb\" = 2\n") {
        assert!(!found.contains(char::is_control), "{found:?}");
    }
}

#[test]
fn duplicates_are_refused() {
    let twice = "a.toml:8:1: this is here a second time: keep one of the two";
    assert_eq!(
        about_rule("sign-out = \"deny\"\nsign-out = \"allow\"\n"),
        [twice]
    );
    let found = complaints(&format!("{HEAD}{HEAD}"));
    assert_eq!(places(&found), ["a.toml:4:2", "a.toml:5:1", "a.toml:6:1"]);
    assert!(
        found[0].ends_with("this is here a second time: keep one of the two"),
        "{found:?}"
    );
    let rule = "[[rule]]\nname = \"n\"\nreason = \"r\"\ndata = \"ask\"\n";
    assert_eq!(
        complaints(&format!("{HEAD}{rule}{rule}")),
        ["a.toml:8:1: line 4 has a rule of this name already: a rule's name is unique in its file"]
    );
    let found = about_rule("data = \"ask\"\nactors = [\"device\", \"device\"]\n");
    assert_eq!(
        found,
        ["a.toml:8:21: `actors` names this twice: remove one"]
    );
}

#[test]
fn what_is_not_toml_is_told_at_its_place() {
    for (text, place) in [
        ("[organisation\n", "a.toml:1:14"),
        ("[[rule]\n", "a.toml:1:8"),
        ("name = \n", "a.toml:1:8"),
        ("a = 1\nb = \"open\n", "a.toml:2:10"),
        ("a = 1\nb 2\n", "a.toml:2:3"),
        ("a = 1\n<<<<<<< HEAD\n", "a.toml:2:1"),
        ("a = 1\nb = \0\n", "a.toml:2:5"),
        ("# comment\n# with \0\n", "a.toml:2:8"),
        ("a = \"\u{7f}\"\n", "a.toml:1:6"),
    ] {
        let found = complaints(text);
        assert!(!found.is_empty(), "{text:?}");
        assert!(
            found[0].starts_with(&format!("{place}: ")),
            "{text:?}: {found:?}"
        );
        assert!(
            found.iter().all(|f| !f.contains(char::is_control)),
            "{found:?}"
        );
    }
}

#[test]
fn every_fault_of_the_syntax_is_told() {
    let found = complaints("a = \nb = 1\nc = \n");
    assert_eq!(places(&found), ["a.toml:1:5", "a.toml:3:5"]);
}

#[test]
fn depth_is_bounded() {
    let deep = 20_000;
    for text in [
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}1{}", "{b=".repeat(deep), "}".repeat(deep)),
        format!("[{}a]\n", "a.".repeat(deep)),
        format!("{}a = 1\n", "a.".repeat(deep)),
        "[".repeat(MAX_FILE_BYTES),
        "[[rule]]\n".repeat(7000),
    ] {
        let found = complaints(&text);
        assert!(
            !found.is_empty() && found.len() <= MAX_PROBLEMS + 1,
            "{}",
            found.len()
        );
    }
}

#[test]
fn size_is_bounded() {
    let found = complaints(&"#".repeat(MAX_FILE_BYTES + 1));
    let message = "the file is larger than 64 KiB, which is all that is read: split it";
    assert_eq!(found, [format!("a.toml:1:65537: {message}")]);
    assert_eq!(complaints(&"#".repeat(MAX_FILE_BYTES)), [""; 0]);
    let problem = Source::from_bytes("a.toml", &[b'\n'; MAX_FILE_BYTES + 1]).unwrap_err();
    assert_eq!((problem.line, problem.column), (65537, 1));
}

#[test]
fn many_problems_are_told_in_part() {
    let text: String = (0..MAX_PROBLEMS + 7)
        .map(|i| format!("key-{i} = 1\n"))
        .collect();
    let found = complaints(&text);
    assert_eq!(found.len(), MAX_PROBLEMS + 1);
    let last = "a.toml:50:1: 7 more problems follow: correct these first";
    assert_eq!(found.last().unwrap(), last);
}

fn rules(count: usize) -> String {
    (0..count)
        .map(|i| format!("[[rule]]\nname = \"r{i}\"\nreason = \"r\"\ndata = \"keep\"\n"))
        .collect()
}

#[test]
fn the_number_of_rules_is_bounded() {
    let full = format!("{HEAD}{}", rules(MAX_RULES_PER_FILE));
    assert_eq!(complaints(&full), [""; 0]);
    let found = complaints(&format!("{HEAD}{}", rules(MAX_RULES_PER_FILE + 1)));
    assert_eq!(
        found,
        ["a.toml:260:1: a file has at most 64 [[rule]]: split it here"]
    );

    let mut files: Vec<Source> = (0..MAX_RULES / MAX_RULES_PER_FILE)
        .map(|i| source(&format!("{i}.toml"), full.clone()))
        .collect();
    assert!(unite(&files).is_ok());
    files.push(source("last.toml", format!("{HEAD}{}", rules(1))));
    let problems = unite(&files).unwrap_err();
    let message = "last.toml:4:1: a policy has at most 512 rules in all files: join some";
    assert_eq!(problems[0].to_string(), message);
}

#[test]
fn the_number_of_files_and_entries_is_bounded() {
    let files: Vec<Source> = (0..=MAX_FILES)
        .map(|i| source(&format!("{i}.toml"), ""))
        .collect();
    assert!(unite(&files[1..]).is_ok());
    assert_eq!(unite(&files).unwrap_err()[0].file, "64.toml");

    let list = |count| {
        format!(
            "data = \"ask\"\nidentities = [{}]\n",
            "\"a\", ".repeat(count)
        )
    };
    assert_eq!(about_rule(&list(MAX_LIST)), [""; 0]);
    let found = about_rule(&list(MAX_LIST + 1));
    assert!(
        found[0].contains("`identities` has at most 32 entries"),
        "{found:?}"
    );
}

#[test]
fn all_problems_of_all_files_are_told() {
    let bad = [
        source("a.toml", "x = 1\ny = 2\n"),
        source("b.toml", HEAD),
        source("c.toml", "["),
    ];
    let problems = unite(&bad).unwrap_err();
    let files: Vec<&str> = problems
        .iter()
        .map(|problem| problem.file.as_str())
        .collect();
    assert_eq!(files[..3], ["a.toml", "a.toml", "c.toml"]);
}
