//! `nod rules`: which commands are asked about before they start, and which need not be.

use std::fmt::Write as _;

use clap::Args;
use nod_core::protocol::{Call, KeptRule, Reply, RuleList, RulePreview};
use nod_core::rule::{Rule, Then};

use crate::failure::Failure;
use crate::host::Host;
use crate::text::neutralised;
use crate::{exit, output};

/// Show the rules, or what a rule would have matched
///
/// Rules are written into the config file or made in the Nod window. What asks
/// for less than before holds only after a person has confirmed it there.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show which tasks of the history a rule that asks first would have matched
    #[arg(long, num_args = 1.., value_name = "PATTERN", allow_hyphen_values = true)]
    preview: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    if arguments.preview.is_empty() {
        return list(&host, arguments.json);
    }
    let rule = Rule {
        name: None,
        argv: arguments.preview.clone(),
        then: Then::AskFirst,
        folder: None,
        session: None,
        kind: None,
        expires_at: None,
    };
    let reply = host.call(&Call::PreviewRule { rule })?;
    let Reply::Preview(preview) = reply else { return Err(Failure::unexpected(&reply)) };
    if arguments.json {
        output::json(&preview)?;
    } else {
        output::text(&matched(&preview))?;
    }
    Ok(exit::OK)
}

fn list(host: &Host, json: bool) -> Result<u8, Failure> {
    let reply = host.call(&Call::Rules)?;
    let Reply::Rules(rules) = reply else { return Err(Failure::unexpected(&reply)) };
    if json {
        output::json(&rules)?;
    } else {
        output::text(&render(&rules))?;
    }
    Ok(exit::OK)
}

fn matched(preview: &RulePreview) -> String {
    let mut text = format!("{} of {} tasks match\n", preview.matching, preview.looked_at);
    for task in &preview.tasks {
        line(&mut text, &format!("{}  {}", task.id, task.command.display()));
    }
    text
}

fn render(list: &RuleList) -> String {
    let mut text = String::new();
    for kept in &list.rules {
        line(&mut text, &words(kept));
    }
    if list.rules.is_empty() {
        text.push_str("no rules\n");
    }
    if list.terminal_approvals {
        text.push_str("approvals in a terminal are on\n");
    }
    for note in &list.notes {
        line(&mut text, &format!("note: {note}"));
    }
    if let Some(loosening) = &list.loosening {
        text.push_str("waits to be confirmed in the Nod window:\n");
        for change in &loosening.changes {
            line(&mut text, &format!("  {change}"));
        }
    }
    text
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{}", neutralised(words)).expect("a string takes any text");
}

fn words(kept: &KeptRule) -> String {
    let rule = &kept.rule;
    let from = kept.id.map_or_else(|| "config".to_owned(), |id| format!("rule {}", id.0));
    let then = match rule.then {
        Then::AskFirst => "ask first",
        Then::NeedNotAsk => "need not ask",
    };
    let mut words = format!("{from}: {then}: {}", rule.argv.join(" "));
    let scope = [
        rule.folder.as_ref().map(|folder| format!("in {folder}")),
        rule.session.as_ref().map(|session| format!("for {session}")),
        rule.kind.as_ref().map(|kind| format!("of kind {kind}")),
        rule.expires_at.map(|at| format!("until {}", at.utc())),
        rule.name.clone(),
    ];
    let dropped = kept.is_dropped.then(|| "until its removal is confirmed".to_owned());
    for part in scope.into_iter().flatten().chain(dropped) {
        words.push_str(", ");
        words.push_str(&part);
    }
    words
}

#[cfg(test)]
mod tests {
    use nod_core::guard::Loosening;
    use nod_core::ids::Timestamp;
    use nod_core::rule::RuleId;

    use super::*;

    #[test]
    fn rules_are_shown_with_their_scope_and_without_what_controls_a_terminal() {
        let rule = |then, name: Option<&str>| Rule {
            name: name.map(str::to_owned),
            argv: ["git", "push", "**"].map(str::to_owned).to_vec(),
            then,
            folder: Some("/srv".into()),
            session: None,
            kind: None,
            expires_at: Some(Timestamp(0)),
        };
        let kept = |id, rule| KeptRule {
            id,
            rule,
            made_at: None,
            made_by: None,
            is_dropped: id.is_none(),
        };
        let list = RuleList {
            rules: vec![
                kept(Some(RuleId(3)), rule(Then::NeedNotAsk, None)),
                kept(None, rule(Then::AskFirst, Some("pushes\u{1b}[2J"))),
            ],
            loosening: Some(Loosening { hash: "h".into(), changes: vec!["less\nof it".into()] }),
            terminal_approvals: true,
            config_file: "/config.toml".into(),
            notes: vec!["deploy: there is no folder /srv".into()],
        };
        insta::assert_snapshot!(render(&list), @r"
        rule 3: need not ask: git push **, in /srv, until 1970-01-01 00:00:00 UTC
        config: ask first: git push **, in /srv, until 1970-01-01 00:00:00 UTC, pushes␛[2J, until its removal is confirmed
        approvals in a terminal are on
        note: deploy: there is no folder /srv
        waits to be confirmed in the Nod window:
          less of it
        ");
    }
}
