//! What `nft list ruleset`, `list table` and `list set` print: sets with their elements, and the rules of chains at the
//! hook `input`, as far as they can be carried over.

use jiff::{SignedDuration, Timestamp};

use super::{
    Left, Place, own,
    ports::{self, Ports},
    rules::{Action, List, Net, Parsed, Rule, Set, Who},
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Mark(char),
    /// A line's end, or `;`.
    End,
}

/// Reads the text.
///
/// # Errors
/// Where it is no such text, with the line.
pub(super) fn parse(file: usize, text: &str, listed: Timestamp, parsed: &mut Parsed) -> Result<(), String> {
    let mut reader = Reader {
        file,
        tokens: tokens(text)?,
        at: 0,
        listed,
    };
    while let Some(token) = reader.next() {
        match token {
            Token::End => {}
            Token::Word(word) if word == "table" => reader.table(parsed)?,
            // What makes place for a table before it.
            Token::Word(word) if matches!(word.as_str(), "delete" | "destroy" | "flush") => {
                while reader.next().is_some_and(|token| token != Token::End) {}
            }
            token => return Err(reader.wrong(&token)),
        }
    }
    Ok(())
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut chars = line.chars().peekable();
        let mut joined = false;
        while let Some(char) = chars.next() {
            let token = match char {
                '#' => break,
                '\\' if chars.peek().is_none() => {
                    joined = true;
                    break;
                }
                char if char.is_whitespace() => continue,
                ';' => Token::End,
                '{' | '}' | ',' => Token::Mark(char),
                '"' => {
                    let quoted: String = chars.by_ref().take_while(|char| *char != '"').collect();
                    Token::Quoted(quoted)
                }
                char if char.is_control() => return Err(format!("line {number}: a control character")),
                char => {
                    let mut word = String::from(char);
                    while let Some(char) = chars
                        .next_if(|char| !char.is_whitespace() && !matches!(char, '{' | '}' | ',' | ';' | '"' | '#'))
                    {
                        word.push(char);
                    }
                    Token::Word(word)
                }
            };
            tokens.push((number, token));
        }
        if !joined {
            tokens.push((number, Token::End));
        }
    }
    Ok(tokens)
}

struct Reader {
    file: usize,
    tokens: Vec<(usize, Token)>,
    at: usize,
    listed: Timestamp,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at)?.1.clone();
        self.at += 1;
        Some(token)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Where the last token stands.
    fn place(&self) -> Place {
        Place {
            file: self.file,
            line: self.tokens.get(self.at.saturating_sub(1)).map_or(1, |(line, _)| *line),
        }
    }

    fn wrong(&self, token: &Token) -> String {
        let shown = match token {
            Token::Word(word) | Token::Quoted(word) => super::short(word),
            Token::Mark(mark) => mark.to_string(),
            Token::End => "end of line".to_owned(),
        };
        format!(
            "line {}: `{shown}` is not what nft would print there",
            self.place().line
        )
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            Some(token) => Err(self.wrong(&token)),
            None => Err("it ends in its middle".to_owned()),
        }
    }

    /// Up to the mark that opens a block.
    fn open(&mut self) -> Result<(), String> {
        loop {
            match self.next() {
                Some(Token::Mark('{')) => return Ok(()),
                Some(Token::Word(_) | Token::Quoted(_)) => {}
                Some(token) => return Err(self.wrong(&token)),
                None => return Err("it ends in its middle".to_owned()),
            }
        }
    }

    /// Over the rest of a block that was opened.
    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some(Token::Mark('{')) => depth += 1,
                Some(Token::Mark('}')) => depth -= 1,
                Some(_) => {}
                None => return Err("it ends in its middle".to_owned()),
            }
        }
        Ok(())
    }

    fn table(&mut self, parsed: &mut Parsed) -> Result<(), String> {
        let family = self.word()?;
        let table = self.word()?;
        if self.peek() == Some(&Token::End) {
            return Ok(());
        }
        self.open()?;
        let own = table == own::TABLE;
        let mut list = List::default();
        loop {
            match self.next() {
                Some(Token::End) => {}
                Some(Token::Mark('}')) => break,
                Some(Token::Word(word)) => match word.as_str() {
                    "set" => {
                        let name = self.word()?;
                        self.open()?;
                        let kind = if own { own::kind(&name) } else { None };
                        let set = self.set(kind, parsed)?;
                        parsed.sets.insert(key(&family, &table, &name), set);
                    }
                    "chain" => {
                        let name = self.word()?;
                        self.open()?;
                        self.chain(&family, &table, name, &mut list, parsed)?;
                    }
                    // Maps, flowtables, named counters and whatever is to come.
                    _ => {
                        while !matches!(self.peek(), Some(Token::Mark('{') | Token::End) | None) {
                            self.at += 1;
                        }
                        if self.peek() == Some(&Token::Mark('{')) {
                            self.open()?;
                            self.skip_block()?;
                        }
                    }
                },
                Some(token) => return Err(self.wrong(&token)),
                None => return Err("it ends in its middle".to_owned()),
            }
        }
        // Of our own table the sets say all.
        if !own && matches!(family.as_str(), "ip" | "ip6" | "inet") {
            parsed.lists.push(list);
        }
        Ok(())
    }

    fn set(&mut self, kind: Option<super::rules::Kind>, parsed: &mut Parsed) -> Result<Set, String> {
        let mut set = Set::new(self.place(), kind);
        loop {
            match self.next() {
                Some(Token::Mark('}')) => return Ok(set),
                Some(Token::Mark('{')) => self.elements(&mut set, parsed)?,
                Some(_) => {}
                None => return Err("it ends in its middle".to_owned()),
            }
        }
    }

    fn elements(&mut self, set: &mut Set, parsed: &mut Parsed) -> Result<(), String> {
        let mut element: Vec<Token> = Vec::new();
        loop {
            let token = self.next().ok_or("it ends in its middle")?;
            let end = token == Token::Mark('}');
            if !end && token != Token::Mark(',') {
                if token != Token::End {
                    element.push(token);
                }
                continue;
            }
            let place = self.place();
            let words: Vec<&str> = element
                .iter()
                .filter_map(|token| match token {
                    Token::Word(word) | Token::Quoted(word) => Some(word.as_str()),
                    _ => None,
                })
                .collect();
            if let Some((first, options)) = words.split_first() {
                match super::range(first).filter(|_| !options.contains(&".")) {
                    Some(nets) => {
                        let until = self.until(options);
                        set.nets.extend(nets.into_iter().map(|net| Net { net, until, place }));
                    }
                    None => parsed.left.push(Left::new(
                        place,
                        &words.join(" "),
                        "it is no address, network or range by itself".to_owned(),
                    )),
                }
            }
            element.clear();
            if end {
                return Ok(());
            }
        }
    }

    fn until(&self, options: &[&str]) -> Option<Timestamp> {
        let value = |name: &str| {
            let at = options.iter().position(|option| *option == name)?;
            options.get(at + 1).copied()
        };
        if let Some(until) = value("comment").and_then(own::until) {
            return Some(until);
        }
        let left = value("expires").or_else(|| value("timeout")).and_then(duration)?;
        self.listed.checked_add(left).ok()
    }

    fn chain(
        &mut self,
        family: &str,
        table: &str,
        name: String,
        list: &mut List,
        parsed: &mut Parsed,
    ) -> Result<(), String> {
        let mut rules = Vec::new();
        let mut statement: Vec<(usize, Token)> = Vec::new();
        let mut depth = 0;
        let mut elsewhere = None;
        loop {
            let token = self.next().ok_or("it ends in its middle")?;
            let place = self.place();
            match token {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') if depth > 0 => depth -= 1,
                Token::Mark('}') | Token::End if depth == 0 => {
                    let end = token == Token::Mark('}');
                    let words: Vec<Token> = statement.drain(..).map(|(_, token)| token).collect();
                    match words.first() {
                        None => {}
                        Some(Token::Word(word)) if word == "type" => {
                            let mut hook = words
                                .iter()
                                .skip_while(|token| **token != Token::Word("hook".to_owned()));
                            match hook.nth(1) {
                                Some(Token::Word(hook))
                                    if matches!(hook.as_str(), "input" | "prerouting" | "ingress") =>
                                {
                                    if words.contains(&Token::Word("nat".to_owned())) {
                                        elsewhere = Some("nat".to_owned());
                                    } else {
                                        list.roots.push(name.clone());
                                    }
                                }
                                Some(Token::Word(hook)) => elsewhere = Some(hook.clone()),
                                _ => {}
                            }
                        }
                        Some(Token::Word(word)) if word == "policy" || word == "comment" => {}
                        Some(_) => match rule(place, &words, family, table) {
                            Ok(rule) => rules.push(rule),
                            Err(left) => parsed.left.push(left),
                        },
                    }
                    if end {
                        break;
                    }
                    continue;
                }
                Token::End => continue,
                _ => {}
            }
            statement.push((place.line, token));
        }
        if let Some(hook) = elsewhere {
            let why = format!("it is at the hook {hook}, which is not about who connects to this host");
            parsed.left.extend(rules.iter().map(|rule| Left::of(rule, why.clone())));
        } else {
            list.chains.insert(name, rules);
        }
        Ok(())
    }
}

fn key(family: &str, table: &str, set: &str) -> String {
    format!("{family} {table} {set}")
}

/// `1d2h3m4s500ms`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut number = String::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char.is_ascii_digit() {
            number.push(char);
            continue;
        }
        let count: i64 = number.parse().ok()?;
        number.clear();
        let part = match char {
            'w' => SignedDuration::from_secs(count.checked_mul(604_800)?),
            'd' => SignedDuration::from_secs(count.checked_mul(86_400)?),
            'h' => SignedDuration::from_secs(count.checked_mul(3600)?),
            'm' if chars.next_if_eq(&'s').is_some() => SignedDuration::from_millis(count),
            'm' => SignedDuration::from_secs(count.checked_mul(60)?),
            's' => SignedDuration::from_secs(count),
            _ => return None,
        };
        total = total.checked_add(part)?;
    }
    number.is_empty().then_some(total)
}

/// A value of a match: words, or a set in braces.
struct Values(Vec<String>);

fn rule(place: Place, tokens: &[Token], family: &str, table: &str) -> Result<Rule, Left> {
    let text = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) => word.clone(),
            Token::Quoted(word) => format!("\"{word}\""),
            Token::Mark(mark) => mark.to_string(),
            Token::End => String::new(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    let leave = |why: String| Left::new(place, &text, why);
    let mut rule = Rule {
        place,
        text: text.clone(),
        who: Who::Everyone,
        except: Vec::new(),
        ports: Ports::all(),
        action: Action::Return,
        doubt: None,
    };
    let mut at = 0;
    let mut verdict = None;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else {
            rule.doubt
                .get_or_insert_with(|| "it has a condition that cannot be carried over".to_owned());
            continue;
        };
        let follows = |at: usize, words: &[&str]| {
            words
                .iter()
                .enumerate()
                .all(|(offset, word)| tokens.get(at + offset) == Some(&Token::Word((*word).to_owned())))
        };
        match word.as_str() {
            "ip" | "ip6" if follows(at, &["saddr"]) => {
                at += 1;
                let (not, Values(values)) = values(tokens, &mut at);
                if let [set] = values.as_slice()
                    && let Some(name) = set.strip_prefix('@')
                {
                    rule.who = Who::Set(key(family, table, name));
                    if not {
                        rule.doubt = Some(format!("it is for those that are not in the set {name}"));
                    }
                    continue;
                }
                let mut nets = Vec::new();
                for value in &values {
                    let some = super::range(value).ok_or_else(|| leave(format!("its source `{value}` is a name")))?;
                    nets.extend(some);
                }
                if not {
                    rule.except.extend(nets);
                } else {
                    let net = |net| Net {
                        net,
                        until: None,
                        place,
                    };
                    rule.who = Who::Nets(nets.into_iter().map(net).collect());
                }
            }
            "ip" | "ip6" if follows(at, &["protocol"]) || follows(at, &["nexthdr"]) => {
                at += 1;
                protocol(tokens, &mut at).map_err(&leave)?;
            }
            "meta" if follows(at, &["l4proto"]) => {
                at += 1;
                protocol(tokens, &mut at).map_err(&leave)?;
            }
            "meta" if follows(at, &["nfproto"]) => at += 2,
            "tcp" | "th" if follows(at, &["dport"]) => {
                at += 1;
                let (not, Values(values)) = values(tokens, &mut at);
                let mut ports = Ports::none();
                for value in &values {
                    let (low, high) = value.split_once('-').unwrap_or((value, value));
                    let (Some(low), Some(high)) = (ports::service(low), ports::service(high)) else {
                        return Err(leave(format!("its port `{value}` is not known here")));
                    };
                    ports.add(low, high);
                }
                rule.ports = rule.ports.and(&if not { Ports::all().without(&ports) } else { ports });
            }
            "tcp" if follows(at, &["flags"]) => {
                at += 1;
                let mut flags = Vec::new();
                while let Some(Token::Word(word)) = tokens.get(at)
                    && !matches!(
                        word.as_str(),
                        "accept" | "drop" | "reject" | "counter" | "jump" | "goto" | "return"
                    )
                {
                    flags.push(word.as_str());
                    at += 1;
                }
                let flags = flags.join(" ");
                if !flags.starts_with("syn") && !flags.ends_with("== syn") {
                    return Err(leave("it is not about SYNs".to_owned()));
                }
            }
            "udp" | "icmp" | "icmpv6" | "sctp" | "dccp" => return Err(leave(format!("it is about {word}"))),
            "ct" if follows(at, &["state"]) => {
                at += 1;
                let (not, Values(values)) = values(tokens, &mut at);
                if values.iter().any(|state| state == "new") == not {
                    return Err(leave("it is not about new connections".to_owned()));
                }
            }
            "iif" | "iifname" => {
                let (not, Values(values)) = values(tokens, &mut at);
                if !not && values == ["lo"] {
                    return Err(leave(
                        "it is about this host itself, which is always trusted".to_owned(),
                    ));
                }
                rule.doubt
                    .get_or_insert_with(|| format!("it is for the interface {} only", values.join(", ")));
            }
            "counter" => {
                while matches!(tokens.get(at), Some(Token::Word(word)) if word == "packets" || word == "bytes") {
                    at += 2;
                }
            }
            "comment" => at += 1,
            "log" => {
                while matches!(tokens.get(at), Some(Token::Word(word))
                    if matches!(word.as_str(), "prefix" | "level" | "group" | "flags" | "all" | "snaplen" | "queue-threshold"))
                {
                    at += 2;
                }
            }
            "accept" => verdict = Some(Action::Accept),
            "drop" => verdict = Some(Action::Refuse),
            "reject" => {
                verdict = Some(Action::Refuse);
                break;
            }
            "return" => verdict = Some(Action::Return),
            "jump" | "goto" => {
                let Some(Token::Word(to)) = tokens.get(at) else {
                    return Err(leave("it leads nowhere".to_owned()));
                };
                at += 1;
                verdict = Some(if word == "jump" {
                    Action::Jump(to.clone())
                } else {
                    Action::Goto(to.clone())
                });
            }
            word => {
                rule.doubt
                    .get_or_insert_with(|| format!("its `{}` cannot be carried over", super::short(word)));
            }
        }
    }
    rule.action = verdict.ok_or_else(|| leave("it neither lets in nor refuses".to_owned()))?;
    Ok(rule)
}

/// What a match is held against: whether it is negated, and the values.
fn values(tokens: &[Token], at: &mut usize) -> (bool, Values) {
    let mut not = false;
    let mut found = Vec::new();
    while let Some(Token::Word(word)) = tokens.get(*at)
        && matches!(word.as_str(), "!=" | "==")
    {
        not = word == "!=";
        *at += 1;
    }
    let mut one = |token: &Token| match token {
        Token::Word(word) => found.extend(word.split(',').map(str::to_owned)),
        Token::Quoted(word) => found.push(word.clone()),
        _ => {}
    };
    if tokens.get(*at) == Some(&Token::Mark('{')) {
        *at += 1;
        while let Some(token) = tokens.get(*at) {
            *at += 1;
            if *token == Token::Mark('}') {
                break;
            }
            one(token);
        }
        return (not, Values(found));
    }
    // `established,related` is three tokens.
    while let Some(token) = tokens.get(*at) {
        one(token);
        *at += 1;
        if tokens.get(*at) != Some(&Token::Mark(',')) {
            break;
        }
        *at += 1;
    }
    (not, Values(found))
}

fn protocol(tokens: &[Token], at: &mut usize) -> Result<(), String> {
    let (not, Values(values)) = values(tokens, at);
    let tcp = values.iter().any(|value| value == "tcp" || value == "6");
    if tcp == not {
        return Err(format!("it is about {}", values.join(", ")));
    }
    Ok(())
}
