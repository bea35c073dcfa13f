//! The policy in force as a text for administrators: every rule with its defaults filled in, and
//! above each the file and line it comes from.

use toml::Value;

use super::Policy;
use super::rule::Rule;
use crate::receipt::readable;

impl Policy {
    /// All rules as TOML, with their origin as comments. It is for reading: who gives a rule stands
    /// in the comment, so it is no policy file.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        if let Some(problem) = &self.unreadable {
            text.push_str(&format!(
                "# The policy cannot be read, and everything is refused:\n# {problem}\n"
            ));
            return text;
        }
        text.push_str(&format!(
            "# {} of {}. The most restrictive rule wins.\n",
            counted(self.rules.len(), "rule"),
            counted(self.files.len(), "file")
        ));
        for file in &self.files {
            text.push_str(&format!("#   {}\n", readable(file.as_bytes())));
        }
        for conflict in self.conflicts() {
            text.push_str(&format!("# Conflict: {conflict}\n"));
        }
        for rule in &self.rules {
            write_rule(&mut text, rule);
        }
        text
    }
}

fn write_rule(text: &mut String, rule: &Rule) {
    let organisation = &rule.organisation;
    text.push_str(&format!(
        "\n# {}:{}, {} ({})\n[[rule]]\n",
        readable(rule.file.as_bytes()),
        rule.line,
        organisation.name,
        organisation.contact
    ));
    let words = |words: Vec<String>| Value::Array(words.into_iter().map(Value::String).collect());
    let mut line = |key: &str, value: Value| text.push_str(&format!("{key} = {value}\n"));
    line("name", Value::String(rule.name.clone()));
    line("reason", Value::String(rule.reason.clone()));
    for (key, value) in rule.demands.written() {
        line(key, value);
    }
    line(
        "actors",
        words(
            rule.actors
                .iter()
                .map(|actor| actor.name().to_owned())
                .collect(),
        ),
    );
    for (key, patterns) in [
        ("identities", &rule.identities),
        ("providers", &rule.providers),
    ] {
        let patterns = match patterns {
            Some(patterns) => patterns.iter().map(ToString::to_string).collect(),
            None => vec!["*".to_owned()],
        };
        line(key, words(patterns));
    }
    for (key, condition) in rule.conditions.written() {
        line(key, condition);
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
