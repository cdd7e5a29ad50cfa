//! `lockgate config …`: the schema, and what a file and the environment come to.

use serde::Serialize;
use serde_json::Value;

use crate::cli::{ConfigArgs, ConfigVerb, Global, Output};
use crate::config::{self, Config, Flags, Origin, Tree};
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{print, print_document, print_line};

/// Runs the verb.
pub(crate) fn run(verb: &ConfigVerb, global: &Global) -> Result<Exit, Failure> {
    match verb {
        ConfigVerb::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema()).expect("a schema is plain JSON");
            print(&format!("{schema}\n"));
        }
        ConfigVerb::Validate(args) => validate(args, global)?,
        ConfigVerb::Show(args) => show(args, global)?,
    }
    Ok(Exit::Ok)
}

/// The environment, without variables that are not Unicode: no setting is.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn load(args: &ConfigArgs, global: &Global) -> Result<(config::Settings, Config, Tree), Failure> {
    let mut flags = Flags { config: args.file.clone(), ..Flags::default() };
    flags.settings.extend(global.log.clone().map(|level| ("log", "level", "--log", level)));
    config::load(&flags, variables())
}

fn validate(args: &ConfigArgs, global: &Global) -> Result<(), Failure> {
    let (settings, ..) = load(args, global)?;
    let what = args
        .file
        .as_ref()
        .map_or_else(|| "defaults and environment".to_owned(), |file| file.display().to_string());
    match args.output.output {
        Output::Human => print(&format!(
            "{what}: valid. {} and {}; nothing was started.\n",
            count(settings.listeners().count(), "listener"),
            count(settings.servers.len(), "server"),
        )),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Valid {
                schema: &'static str,
                valid: bool,
                listeners: usize,
                servers: usize,
            }
            print_line(&Valid {
                schema: "lockgate.config-valid/1",
                valid: true,
                listeners: settings.listeners().count(),
                servers: settings.servers.len(),
            });
        }
    }
    Ok(())
}

/// A setting in force.
#[derive(Serialize)]
struct Setting {
    key: String,
    value: Value,
    origin: String,
}

fn show(args: &ConfigArgs, global: &Global) -> Result<(), Failure> {
    let (_, config, tree) = load(args, global)?;
    let whole = serde_json::to_value(&config).expect("the configuration is plain data");
    let mut settings = Vec::new();
    collect(&whole, String::new(), &tree, &mut settings);
    match args.output.output {
        Output::Human => print(&human(&settings)),
        Output::Jsonl => settings.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                settings: Vec<Setting>,
            }
            print_document(&All { schema: "lockgate.config/1", settings });
        }
    }
    Ok(())
}

fn collect(value: &Value, path: String, tree: &Tree, settings: &mut Vec<Setting>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| collect(value, below(key), tree, settings))
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| collect(item, below(&n.to_string()), tree, settings));
        }
        value => {
            let origin = tree.place(&path).unwrap_or_else(|| match tree.origin(&path) {
                Origin::Default => "default".to_owned(),
                _ => String::new(),
            });
            settings.push(Setting { key: path, value: value.clone(), origin });
        }
    }
}

fn human(settings: &[Setting]) -> String {
    let shown: Vec<(String, &str)> = settings
        .iter()
        .map(|setting| (format!("{} = {}", setting.key, setting.value), setting.origin.as_str()))
        .collect();
    // Long values do not push all origins to the right.
    let width =
        shown.iter().map(|(text, _)| text.chars().count()).filter(|width| *width <= 64).max().unwrap_or(0);
    shown.iter().map(|(text, origin)| format!("{text:width$}  # {origin}\n")).collect()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
