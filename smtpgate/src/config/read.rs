//! The tree of values to the configuration: every key by name, its kind, its range. Collects all problems.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tree::{Node, Place, Table, Value};
use super::{
    Config, ConfigError, Database, Detect, Follow, Gate, Geoip, Hooks, Limits, Listen, MAX_ENTRIES, MAX_GATES, Maillog,
    Metrics, Mode, OwnerDatabase, Paths, Problem, Written, duration,
};
use crate::maillog::{Kind, Pattern, Patterns};
use crate::nearest::nearest;
use crate::sources::Spec;

/// Who may connect to the gates that are there when no file says anything.
pub(super) const DEFAULT_ALLOW: [&str; 2] = ["country:JP", "private"];

/// All keys, by section. `gate` stands for every `[gate.NAME]`. `docs/configuration.md` tells of each.
pub(super) const SECTIONS: [(&str, &[&str]); 10] = [
    (
        "",
        &[
            "mode",
            "interfaces",
            "trust",
            "ignoreip",
            "block",
            "gate",
            "maillog",
            "detect",
            "hooks",
            "paths",
            "limits",
            "geoip",
            "metrics",
        ],
    ),
    ("gate", &["ports", "allow", "mode"]),
    ("maillog", &["follow", "pattern"]),
    ("maillog.pattern", &["name", "program", "regex", "kind", "weight"]),
    (
        "detect",
        &[
            "maxretry",
            "findtime",
            "bantime",
            "bantime-max",
            "window6",
            "widen",
            "widest4",
            "widest6",
            "siege-addresses",
            "stolen-networks",
            "stolen-countries",
            "stolen-recipients",
            "stolen-ban",
            "bans-per-minute",
        ],
    ),
    ("hooks", &["on_ban", "on_alarm"]),
    ("paths", &["state", "run", "pins"]),
    ("limits", &["prefixes", "bans", "headroom"]),
    ("geoip", &["asn", "database"]),
    ("metrics", &["listen", "textfile"]),
];

/// Reads the merged tree of what was written.
pub(super) fn config(root: &Table, written: Written) -> Result<Config, ConfigError> {
    let mut reader = Reader {
        folder: &written.folder,
        problems: Vec::new(),
    };
    let top = Section {
        name: String::new(),
        kind: "",
        table: root,
    };
    reader.known_keys(&top);

    let mode = top
        .get("mode")
        .and_then(|found| reader.mode(&found))
        .unwrap_or(Mode::Enforce);
    let mut trust = reader.specs(&top, "trust");
    trust.extend(reader.specs(&top, "ignoreip"));
    let config = Config {
        mode,
        interfaces: reader.interfaces(&top),
        trust,
        block: reader.specs(&top, "block"),
        gates: reader.gates(&top, mode, written.files.last().map(|(file, _)| file)),
        maillog: reader.maillog(&top),
        detect: reader.detect(&top),
        hooks: reader.hooks(&top),
        paths: reader.paths(&top),
        limits: reader.limits(&top),
        geoip: reader.geoip(&top),
        metrics: reader.metrics(&top),
        written: Written::default(),
    };
    let mut problems = reader.problems;
    if problems.is_empty() {
        return Ok(Config { written, ..config });
    }
    problems.sort_by(|(a, _), (b, _)| a.cmp(b));
    Err(ConfigError {
        problems: problems.into_iter().map(|(_, problem)| problem).collect(),
    })
}

/// One table of the tree: its name as the admin sees it (`gate.mx`), and what kind of section it is (`gate`).
struct Section<'t> {
    name: String,
    kind: &'static str,
    table: &'t Table,
}

/// A key that was found: its full name, and its value.
struct Found<'t> {
    name: String,
    node: &'t Node,
}

impl<'t> Section<'t> {
    fn get(&self, key: &str) -> Option<Found<'t>> {
        self.table.get(key).map(|(_, node)| Found {
            name: self.full(key),
            node,
        })
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

struct Reader<'f> {
    folder: &'f Path,
    problems: Vec<(Option<Place>, Problem)>,
}

impl Reader<'_> {
    fn problem(&mut self, at: &Place, message: String) {
        self.problems.push((Some(at.clone()), Problem::new(at, message)));
    }

    /// Reports a value of the wrong kind: what is there, what belongs there.
    fn wrong(&mut self, found: &Found<'_>, wanted: &str) {
        let message = format!(
            "{}: {} stands where {wanted} belongs",
            found.name,
            found.node.value.kind()
        );
        self.problem(&found.node.at, message);
    }

    /// Reports every key that the section does not have, with where it belongs or what it may be meant for.
    fn known_keys(&mut self, section: &Section<'_>) {
        let keys = |kind: &str| {
            SECTIONS
                .iter()
                .find(|(name, _)| *name == kind)
                .map_or(&[][..], |(_, keys)| *keys)
        };
        for (key, (at, _)) in section.table {
            if keys(section.kind).contains(&key.as_str()) {
                continue;
            }
            let heading = |name: &str| {
                if name.is_empty() {
                    "the top of the file".to_owned()
                } else {
                    format!("[{name}]")
                }
            };
            let near = nearest(key, keys(section.kind).iter().copied());
            let elsewhere = SECTIONS.iter().find(|(_, keys)| keys.contains(&key.as_str()));
            let advice = match (near, elsewhere) {
                (_, Some(("", _))) => "it belongs at the top of the file, before the first [section]".to_owned(),
                (_, Some(("gate", _))) => "it belongs in a section like [gate.submission]".to_owned(),
                (_, Some((name, _))) => format!("it belongs in [{name}]"),
                (Some(near), None) => format!("did you mean `{near}`?"),
                (None, None) => format!("{} takes {}", heading(&section.name), keys(section.kind).join(", ")),
            };
            self.problem(at, format!("unknown key `{}`: {advice}", section.full(key)));
        }
    }

    /// A section below the top, its keys checked. A missing one is `None`.
    fn section<'t>(&mut self, top: &Section<'t>, kind: &'static str) -> Option<Section<'t>> {
        let found = top.get(kind)?;
        let Value::Table(table) = &found.node.value else {
            self.wrong(&found, &format!("a section [{kind}]"));
            return None;
        };
        let section = Section {
            name: kind.to_owned(),
            kind,
            table,
        };
        self.known_keys(&section);
        Some(section)
    }

    fn string<'t>(&mut self, found: &Found<'t>, wanted: &str) -> Option<&'t str> {
        match &found.node.value {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(found, wanted);
                None
            }
        }
    }

    /// The strings of a list, each with its place.
    fn strings<'t>(&mut self, found: &Found<'t>, wanted: &str) -> Vec<(&'t Place, &'t str)> {
        let Value::Array(items) = &found.node.value else {
            self.wrong(found, wanted);
            return Vec::new();
        };
        let mut strings = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::String(text) => strings.push((&item.at, text.as_str())),
                other => {
                    let message = format!("{}: {} stands in the list; it takes {wanted}", found.name, other.kind());
                    self.problem(&item.at, message);
                }
            }
        }
        strings
    }

    /// A whole number within the bounds.
    fn number(&mut self, section: &Section<'_>, key: &str, low: u32, high: u32) -> Option<u32> {
        let found = section.get(key)?;
        let wanted = format!("a number from {low} to {high}");
        let Value::Integer(number) = found.node.value else {
            self.wrong(&found, &wanted);
            return None;
        };
        let fits = u32::try_from(number)
            .ok()
            .filter(|number| (low..=high).contains(number));
        if fits.is_none() {
            self.problem(
                &found.node.at,
                format!("{}: {number} is out of range: give {wanted}", found.name),
            );
        }
        fits
    }

    fn yes_or_no(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let found = section.get(key)?;
        let Value::Boolean(value) = found.node.value else {
            self.wrong(&found, "true or false");
            return None;
        };
        Some(value)
    }

    fn duration(&mut self, section: &Section<'_>, key: &str) -> Option<Duration> {
        let found = section.get(key)?;
        let text = match &found.node.value {
            Value::String(text) => text.clone(),
            Value::Integer(seconds) => seconds.to_string(),
            _ => {
                self.wrong(&found, "a duration like \"10m\"");
                return None;
            }
        };
        match duration::parse(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problem(&found.node.at, format!("{}: {error}", found.name));
                None
            }
        }
    }

    /// A path; a relative one is taken from the configuration's folder.
    fn path(&mut self, section: &Section<'_>, key: &str) -> Option<PathBuf> {
        let found = section.get(key)?;
        let text = self.string(&found, "a path")?;
        if text.is_empty() {
            self.problem(&found.node.at, format!("{}: the path is empty", found.name));
            return None;
        }
        Some(self.folder.join(text))
    }

    fn specs(&mut self, section: &Section<'_>, key: &str) -> Vec<Spec> {
        let Some(found) = section.get(key) else {
            return Vec::new();
        };
        let mut specs = Vec::new();
        for (at, text) in self.strings(&found, "a list of sources like [\"country:JP\", \"192.0.2.0/24\"]") {
            match text.parse::<Spec>() {
                Ok(spec) => specs.push(spec.relative_to(self.folder)),
                Err(error) => self.problem(at, format!("{}: {error}", found.name)),
            }
        }
        specs
    }

    fn mode(&mut self, found: &Found<'_>) -> Option<Mode> {
        let text = self.string(found, "\"enforce\" or \"observe\"")?;
        match text {
            "enforce" => Some(Mode::Enforce),
            "observe" => Some(Mode::Observe),
            _ => {
                let message = format!("{}: `{text}` is no mode: write \"enforce\" or \"observe\"", found.name);
                self.problem(&found.node.at, message);
                None
            }
        }
    }

    fn interfaces(&mut self, top: &Section<'_>) -> Vec<String> {
        let Some(found) = top.get("interfaces") else {
            return Vec::new();
        };
        let problems_before = self.problems.len();
        let mut names: Vec<String> = Vec::new();
        for (at, name) in self.strings(&found, "a list of interfaces like [\"eth0\"]") {
            // dev_valid_name() of the kernel's net/core/dev.c: shorter than IFNAMSIZ (16), and these characters.
            let valid = (1..16).contains(&name.len())
                && !matches!(name, "." | "..")
                && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
            if !valid {
                self.problem(
                    at,
                    format!("{}: `{name}` is no interface name, as `ip link` shows them", found.name),
                );
            } else if names.iter().any(|known| known == name) {
                self.problem(at, format!("{}: `{name}` is listed twice", found.name));
            } else {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() && self.problems.len() == problems_before {
            let advice = "name one, or leave the key out for all that hold a default route";
            self.problem(&found.node.at, format!("{}: the list is empty: {advice}", found.name));
        }
        names
    }

    fn gates(&mut self, top: &Section<'_>, mode: Mode, last_file: Option<&PathBuf>) -> Vec<Gate> {
        let tables = match top.get("gate") {
            None => None,
            Some(Found {
                node: Node {
                    value: Value::Table(tables),
                    ..
                },
                ..
            }) => Some(tables),
            Some(found) => {
                self.wrong(&found, "a section like [gate.submission]");
                return Vec::new();
            }
        };
        let mut named: Vec<(&String, &Place, &Node)> = tables
            .into_iter()
            .flatten()
            .map(|(name, (at, node))| (name, at, node))
            .collect();
        if named.is_empty() {
            // The built-in gates let in Japan: a file that forgot its gates must not lock out the rest of the world.
            let message = "no gate is defined: add a section like [gate.mx] with ports = [25] and allow = [\"world\"]";
            let problem = Problem {
                file: last_file.cloned().unwrap_or_default(),
                position: None,
                message: message.to_owned(),
            };
            self.problems.push((None, problem));
            return Vec::new();
        }
        named.sort_by_key(|(_, at, _)| *at);
        if let Some((_, at, _)) = named.get(MAX_GATES) {
            self.problem(
                at,
                format!(
                    "{} gates are defined, and at most {MAX_GATES} are possible",
                    named.len()
                ),
            );
        }
        let mut owners = BTreeMap::new();
        named
            .into_iter()
            .filter_map(|(name, at, node)| self.gate(name, at, node, mode, &mut owners))
            .collect()
    }

    /// One gate. `owners` knows the gate and place of every port so far.
    fn gate(
        &mut self,
        name: &str,
        at: &Place,
        node: &Node,
        mode: Mode,
        owners: &mut BTreeMap<u16, (String, Place)>,
    ) -> Option<Gate> {
        let full = format!("gate.{name}");
        let Value::Table(table) = &node.value else {
            let message = format!("`{full}` is not a gate: a gate has a name, and a section like [gate.submission]");
            self.problem(at, message);
            return None;
        };
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > 32 || !name.chars().all(valid) {
            self.problem(
                at,
                format!("`{name}` is no name for a gate: 1 to 32 of a-z, 0-9, _ and -"),
            );
        }
        let section = Section {
            name: full,
            kind: "gate",
            table,
        };
        self.known_keys(&section);
        for (key, example) in [
            ("ports", "ports = [25]"),
            ("allow", "allow = [\"country:JP\", \"private\"]"),
        ] {
            if section.get(key).is_none() {
                self.problem(at, format!("{}: `{key}` is missing, as in {example}", section.name));
            }
        }
        Some(Gate {
            name: name.to_owned(),
            ports: self.ports(&section, name, owners),
            allow: self.specs(&section, "allow"),
            mode: section.get("mode").and_then(|found| self.mode(&found)).unwrap_or(mode),
        })
    }

    fn ports(&mut self, gate: &Section<'_>, name: &str, owners: &mut BTreeMap<u16, (String, Place)>) -> Vec<u16> {
        let Some(found) = gate.get("ports") else {
            return Vec::new();
        };
        let wanted = "a list of TCP ports like [465, 587]";
        let Value::Array(items) = &found.node.value else {
            self.wrong(&found, wanted);
            return Vec::new();
        };
        if items.is_empty() {
            self.problem(
                &found.node.at,
                format!("{}: the list is empty: give {wanted}", found.name),
            );
        }
        let mut ports = Vec::new();
        for item in items {
            let Value::Integer(number) = item.value else {
                let message = format!(
                    "{}: {} stands in the list; it takes {wanted}",
                    found.name,
                    item.value.kind()
                );
                self.problem(&item.at, message);
                continue;
            };
            let Some(port) = u16::try_from(number).ok().filter(|port| *port != 0) else {
                self.problem(
                    &item.at,
                    format!("{}: {number} is no TCP port: give 1 to 65535", found.name),
                );
                continue;
            };
            match owners.get(&port) {
                Some((owner, _)) if owner == name => {
                    self.problem(&item.at, format!("{}: port {port} is listed twice", found.name));
                }
                Some((owner, place)) => {
                    let message = format!(
                        "{}: port {port} is already in gate `{owner}` ({}:{}): a port is in one gate",
                        found.name,
                        place.file.display(),
                        place.line
                    );
                    self.problem(&item.at, message);
                }
                None => {
                    owners.insert(port, (name.to_owned(), item.at.clone()));
                    ports.push(port);
                }
            }
        }
        ports.sort_unstable();
        ports
    }

    fn maillog(&mut self, top: &Section<'_>) -> Maillog {
        let section = self.section(top, "maillog");
        let get = |key| section.as_ref().and_then(|section| section.get(key));
        Maillog {
            follow: get("follow")
                .and_then(|found| self.follow(&found))
                .unwrap_or(Follow::Auto),
            patterns: Patterns::new(get("pattern").map(|found| self.patterns(&found)).unwrap_or_default()),
        }
    }

    /// `[[maillog.pattern]]`
    fn patterns(&mut self, found: &Found<'_>) -> Vec<Pattern> {
        let wanted = "a section like [[maillog.pattern]]";
        let Value::Array(items) = &found.node.value else {
            self.wrong(found, wanted);
            return Vec::new();
        };
        let mut patterns: Vec<Pattern> = Vec::new();
        for item in items {
            let Value::Table(table) = &item.value else {
                let message = format!("{}: {} stands where {wanted} belongs", found.name, item.value.kind());
                self.problem(&item.at, message);
                continue;
            };
            let section = Section {
                name: found.name.clone(),
                kind: "maillog.pattern",
                table,
            };
            self.known_keys(&section);
            let Some(pattern) = self.pattern(&section, &item.at) else {
                continue;
            };
            if patterns.iter().any(|known| known.name == pattern.name) {
                let message = format!("{}: there are two patterns of the name `{}`", found.name, pattern.name);
                self.problem(&item.at, message);
            }
            patterns.push(pattern);
        }
        patterns
    }

    fn pattern(&mut self, section: &Section<'_>, at: &Place) -> Option<Pattern> {
        let mut texts = [None; 3];
        for (text, (key, example)) in texts.iter_mut().zip([
            ("name", "name = \"my-imapd\""),
            ("regex", "regex = '^login failed from (?<address>[0-9a-f.:]+)'"),
            ("kind", "kind = \"auth_failed\""),
        ]) {
            match section.get(key) {
                None => self.problem(at, format!("{}: `{key}` is missing, as in {example}", section.name)),
                Some(found) => *text = self.string(&found, "a string"),
            }
        }
        let program = match section.get("program") {
            Some(found) => Some(self.string(&found, "the name of a program")?),
            None => None,
        };
        let weight = self.number(section, "weight", 0, 1_000);
        let [name, regex, word] = texts;
        let kind = word.and_then(|word| {
            let kind = Kind::from_name(word);
            if kind.is_none()
                && let Some(found) = section.get("kind")
            {
                let advice = match nearest(word, Kind::ALL.iter().map(|kind| kind.name())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write one of {}", Kind::ALL.map(Kind::name).join(", ")),
                };
                self.problem(
                    &found.node.at,
                    format!("{}: `{word}` is no kind of event: {advice}", found.name),
                );
            }
            kind
        });
        let (name, regex, kind) = (name?, regex?, kind?);
        let weight = weight.and_then(|weight| u16::try_from(weight).ok());
        if kind.is_good()
            && let Some(found) = section.get("weight").filter(|_| weight > Some(0))
        {
            let message = format!(
                "{}: {} is no offence and has no weight: leave it out",
                found.name,
                kind.name()
            );
            self.problem(&found.node.at, message);
        }
        match Pattern::new(name, program, regex, kind, weight) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let found = section.get("regex")?;
                self.problem(&found.node.at, format!("{}: the pattern `{name}` {error}", found.name));
                None
            }
        }
    }

    fn follow(&mut self, found: &Found<'_>) -> Option<Follow> {
        let wanted = "\"auto\", \"none\", \"journal\", \"-\" (standard input), a path, or a list of paths";
        let paths = match &found.node.value {
            Value::String(text) => match text.as_str() {
                "auto" => return Some(Follow::Auto),
                "none" => return Some(Follow::None),
                "-" => return Some(Follow::Input),
                "journal" => return Some(Follow::Journal(None)),
                journal if journal.starts_with("journal:/") => {
                    let folder = journal.strip_prefix("journal:").map(PathBuf::from);
                    return Some(Follow::Journal(folder));
                }
                path => vec![(&found.node.at, path)],
            },
            _ => self.strings(found, wanted),
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for (at, text) in &paths {
            // A word without a slash is more likely meant as a word of ours than as a file beside the configuration.
            if text.contains('/') {
                let path = self.folder.join(text);
                if !files.contains(&path) {
                    files.push(path);
                }
            } else {
                self.problem(at, format!("{}: `{text}` is no log: give {wanted}", found.name));
            }
        }
        if let Value::Array(items) = &found.node.value
            && items.is_empty()
        {
            self.problem(
                &found.node.at,
                format!("{}: the list is empty: write \"none\" to follow no log", found.name),
            );
        }
        Some(Follow::Files(files))
    }

    fn detect(&mut self, top: &Section<'_>) -> Detect {
        let default = Detect::default();
        let Some(section) = self.section(top, "detect") else {
            return default;
        };
        let maxretry = self.number(&section, "maxretry", 1, 10_000).unwrap_or(default.maxretry);
        let findtime = self.duration(&section, "findtime").unwrap_or(default.findtime);
        let bantime = self.duration(&section, "bantime").unwrap_or(default.bantime);
        let longest = self.duration(&section, "bantime-max");
        if let (Some(longest), Some(found)) = (longest, section.get("bantime-max"))
            && longest < bantime
        {
            let message = format!(
                "{}: {} is shorter than bantime, {}",
                found.name,
                duration::Human(longest),
                duration::Human(bantime)
            );
            self.problem(&found.node.at, message);
        }
        // Who asks for a first ban beyond the default maximum gets it.
        let bantime_max = longest.unwrap_or(default.bantime_max.max(bantime));
        let mut number = |key, low, high, default: u32| self.number(&section, key, low, high).unwrap_or(default);
        let window6 = number("window6", 32, 64, default.window6.into());
        let widen = number("widen", 0, 65_536, default.widen);
        let widest4 = number("widest4", 16, 32, default.widest4.into());
        let widest6 = number("widest6", 32, 64, default.widest6.into());
        let siege_addresses = number("siege-addresses", 0, 1000, default.siege_addresses);
        let stolen_networks = number("stolen-networks", 0, 200, default.stolen_networks);
        let stolen_countries = number("stolen-countries", 0, 200, default.stolen_countries);
        let stolen_recipients = number("stolen-recipients", 0, 1_000_000, default.stolen_recipients);
        let bans_per_minute = number("bans-per-minute", 1, 1_000_000, default.bans_per_minute);
        let length = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        Detect {
            maxretry,
            findtime,
            bantime,
            bantime_max,
            window6: length(window6),
            widen,
            widest4: length(widest4),
            widest6: length(widest6),
            siege_addresses,
            stolen_networks,
            stolen_countries,
            stolen_recipients,
            stolen_ban: self.yes_or_no(&section, "stolen-ban").unwrap_or(default.stolen_ban),
            bans_per_minute,
        }
    }

    fn hooks(&mut self, top: &Section<'_>) -> Hooks {
        let Some(section) = self.section(top, "hooks") else {
            return Hooks::default();
        };
        Hooks {
            on_ban: self.program(&section, "on_ban"),
            on_alarm: self.program(&section, "on_alarm"),
        }
    }

    /// A program with its arguments; there is no shell that would take a line apart.
    fn program(&mut self, section: &Section<'_>, key: &str) -> Vec<String> {
        let Some(found) = section.get(key) else {
            return Vec::new();
        };
        let wanted = "a program and its arguments, like [\"/usr/local/bin/tell\", \"ban\"]";
        let words = self.strings(&found, wanted);
        if let Some((at, program)) = words.first()
            && !program.starts_with('/')
        {
            let message = format!("{}: `{program}` is no absolute path: it takes {wanted}", found.name);
            self.problem(at, message);
        }
        words.into_iter().map(|(_, word)| word.to_owned()).collect()
    }

    fn paths(&mut self, top: &Section<'_>) -> Paths {
        let default = Paths::default();
        let Some(section) = self.section(top, "paths") else {
            return default;
        };
        Paths {
            state: self.path(&section, "state").unwrap_or(default.state),
            run: self.path(&section, "run").unwrap_or(default.run),
            pins: self.path(&section, "pins").unwrap_or(default.pins),
        }
    }

    fn limits(&mut self, top: &Section<'_>) -> Limits {
        let default = Limits::default();
        let Some(section) = self.section(top, "limits") else {
            return default;
        };
        Limits {
            prefixes: self.number(&section, "prefixes", 1, MAX_ENTRIES),
            bans: self.number(&section, "bans", 1, MAX_ENTRIES),
            headroom: self.number(&section, "headroom", 0, 1_000).unwrap_or(default.headroom),
        }
    }

    fn geoip(&mut self, top: &Section<'_>) -> Geoip {
        let Some(section) = self.section(top, "geoip") else {
            return Geoip::default();
        };
        let word = |key: &str| {
            section.get(key).and_then(|found| match &found.node.value {
                Value::String(text) => Some(text.as_str()),
                _ => None,
            })
        };
        let database = match word("database") {
            Some("auto") => Database::Auto,
            Some("built-in") => Database::BuiltIn,
            _ => self.path(&section, "database").map_or(Database::Auto, Database::File),
        };
        let asn = match word("asn") {
            Some("auto") => OwnerDatabase::Auto,
            Some("off") => OwnerDatabase::Off,
            _ => self
                .path(&section, "asn")
                .map_or(OwnerDatabase::Auto, OwnerDatabase::File),
        };
        Geoip { database, asn }
    }

    fn metrics(&mut self, top: &Section<'_>) -> Metrics {
        let Some(section) = self.section(top, "metrics") else {
            return Metrics::default();
        };
        let textfile = self.path(&section, "textfile");
        if let Some(found) = section.get("textfile")
            && textfile
                .as_ref()
                .is_some_and(|path| path.extension().is_none_or(|end| end != "prom"))
        {
            let message = format!("{}: the node-exporter reads only files that end in .prom", found.name);
            self.problem(&found.node.at, message);
        }
        Metrics {
            listen: section.get("listen").and_then(|found| self.listen(&found)),
            textfile,
        }
    }

    fn listen(&mut self, found: &Found<'_>) -> Option<Listen> {
        let wanted = "\"unix:/run/smtpgate/metrics.sock\", or a loopback address and port like \"127.0.0.1:9725\"";
        let text = self.string(found, wanted)?;
        let bad = match (text.strip_prefix("unix:"), text.parse::<SocketAddr>()) {
            (Some(path), _) if path.starts_with('/') => return Some(Listen::Unix(path.into())),
            (Some(_), _) => "the path of the socket is not absolute",
            (None, Ok(address)) if address.port() == 0 => "the port is 0",
            (None, Ok(address)) if address.ip().to_canonical().is_loopback() => return Some(Listen::Tcp(address)),
            (None, Ok(_)) => {
                "other hosts could reach it, and there is no password: listen on a loopback address, and put a server that \
                 asks for one before it"
            }
            (None, Err(_)) => "it is no address and port",
        };
        self.problem(
            &found.node.at,
            format!("{}: `{text}`: {bad}: give {wanted}", found.name),
        );
        None
    }
}
