//! `gaggle config`: each value in force and where it comes from.

use serde_json::{Map, Value, json};

use super::exit::{Exit, Failure};
use super::output::{Printer, Rows, Tone};
use crate::config::settings::SETTINGS;
use crate::config::{ClientConfig, Config, Flags, InForce, Setting, Source};

/// Print each setting in force, and where it comes from
///
/// Takes the flags of all commands, so that a command line can be tried. Confidential values are
/// not shown.
#[derive(clap::Args)]
pub(super) struct ShowConfig {}

impl ShowConfig {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let layers = super::layers(flags)?;
        let usage = |why| Failure::new(Exit::Usage, why);
        let (_, of_member) = Config::check(&layers).map_err(usage)?;
        let (client, of_client) = ClientConfig::check(&layers).map_err(usage)?;
        let lines: Vec<Line> = SETTINGS
            .into_iter()
            .filter(|setting| setting.name != "config")
            .map(|setting| Line::new(setting, &of_member, &of_client))
            .collect();
        let value: Map<String, Value> = lines.iter().map(Line::json).collect();
        Printer::new(client.output).show(&Value::Object(value), || {
            let mut rows = Rows::new(["SETTING", "VALUE", "SOURCE", "VARIABLE"]);
            for line in &lines {
                let cells = [
                    line.setting.name,
                    line.value.as_deref().unwrap_or(line.unset()),
                    &line.source,
                    line.setting.env,
                ];
                rows.push(cells, line.tone);
            }
            rows
        })?;
        Ok(Exit::Ok)
    }
}

struct Line {
    setting: &'static Setting,
    value: Option<String>,
    source: String,
    tone: Tone,
}

impl Line {
    /// What a member uses; what a client uses where a member has no such value.
    fn new(setting: &'static Setting, of_member: &[InForce], of_client: &[InForce]) -> Self {
        let found = of_member
            .iter()
            .chain(of_client)
            .find(|item| item.setting.name == setting.name);
        match found {
            Some(item) => Self {
                setting,
                value: Some(item.value.clone()),
                source: item.source.to_string(),
                tone: match item.source {
                    Source::Default => Tone::Plain,
                    _ => Tone::Good,
                },
            },
            None => Self {
                setting,
                value: None,
                source: Source::Default.to_string(),
                tone: Tone::Plain,
            },
        }
    }

    /// What stands for a value that is worked out when it is needed.
    fn unset(&self) -> &'static str {
        self.setting.preset.words()
    }

    fn json(&self) -> (String, Value) {
        let entry = json!({
            "value": self.value,
            "source": self.source,
            "variable": self.setting.env,
        });
        (self.setting.name.to_owned(), entry)
    }
}
