//! Man pages: those of the verbs from the command line's own description, that of the configuration from
//! `docs/configuration.md`.

use anyhow::{Context as _, Result, bail};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

/// What stands at the foot of every page.
const SOURCE: &str = concat!("smtpgate ", env!("CARGO_PKG_VERSION"));

/// File name and text of every page: `smtpgate.1`, and `smtpgate-VERB.1` for each verb.
pub(super) fn commands(mut command: clap::Command) -> Result<Vec<(String, Vec<u8>)>> {
    // Else each verb would have a page on its own `help`.
    command = command.disable_help_subcommand(true);
    command.build();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut pages = Vec::new();
    for command in std::iter::once(&command).chain(verbs) {
        let page = Man::new(command.clone()).source(SOURCE);
        let mut text = Vec::new();
        page.render(&mut text)?;
        pages.push((page.get_filename(), text));
    }
    Ok(pages)
}

/// smtpgate.toml(5). Of Markdown it takes what the page has: `# NAME: what it is`, `##` headings, paragraphs, code, emphasis,
/// and lists whose items are a term, a hard line break, and what there is to say of it. All else is an error.
pub(super) fn configuration(markdown: &str) -> Result<String> {
    let mut page = Page::default();
    for event in Parser::new(markdown) {
        page.event(event)?;
    }
    Ok(page.roff.to_roff())
}

#[derive(Default)]
struct Page {
    roff: Roff,
    /// The line that grows.
    line: Vec<Inline>,
    emphasis: bool,
    /// A block whose text is kept as it is.
    verbatim: bool,
}

impl Page {
    fn event(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::List(None)) | Event::End(TagEnd::List(_)) => {}
            Event::Start(Tag::Paragraph) => self.control("PP"),
            Event::Start(Tag::Item) => self.control("TP"),
            Event::Start(Tag::CodeBlock(_)) => {
                self.control("PP");
                self.control("EX");
                self.verbatim = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                self.control("EE");
                self.verbatim = false;
            }
            Event::Start(Tag::Emphasis) => self.emphasis = true,
            Event::End(TagEnd::Emphasis) => self.emphasis = false,
            Event::Text(text) if self.verbatim => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            Event::Text(text) if self.emphasis => self.line.push(italic(&*text)),
            Event::Text(text) => self.line.push(roman(&*text)),
            Event::Code(text) => self.line.push(bold(&*text)),
            Event::SoftBreak => self.line.push(roman(" ")),
            Event::HardBreak | Event::End(TagEnd::Paragraph | TagEnd::Item) => self.end_line(),
            Event::End(TagEnd::Heading(level)) => self.heading(level)?,
            other => bail!("docs/configuration.md: {other:?} has no place in a man page yet"),
        }
        Ok(())
    }

    fn control(&mut self, name: &str) {
        self.roff.control(name, []);
    }

    fn end_line(&mut self) {
        self.roff.text(std::mem::take(&mut self.line));
    }

    fn heading(&mut self, level: HeadingLevel) -> Result<()> {
        let words: String = std::mem::take(&mut self.line)
            .iter()
            .map(|inline| match inline {
                Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.as_str(),
                Inline::LineBreak => " ",
            })
            .collect();
        if level != HeadingLevel::H1 {
            self.roff.control("SH", [words.to_uppercase().as_str()]);
            return Ok(());
        }
        let (name, what) = words
            .split_once(": ")
            .context("docs/configuration.md: its title is no `NAME: what it is`")?;
        self.roff.control("TH", [name, "5", "", SOURCE, ""]);
        self.roff.control("SH", ["NAME"]);
        self.roff.text([roman(format!("{name} - {what}"))]);
        self.roff.control("SH", ["DESCRIPTION"]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_its_options() {
        let command = smtpgate::cli::command();
        let pages = commands(command.clone()).unwrap();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let name = format!("smtpgate-{}.1", verb.get_name());
            let (_, page) = pages.iter().find(|(page, _)| *page == name).expect(&name);
            let page = String::from_utf8_lossy(page);
            let options = verb.get_arguments().filter(|option| !option.is_hide_set());
            for option in options.filter_map(clap::Arg::get_long) {
                let option = option.replace('-', "\\-");
                assert!(page.contains(&option), "{name}: no --{option}:\n{page}");
            }
            // Those of every verb.
            assert!(page.contains("\\-\\-json"), "{name}: no --json:\n{page}");
        }
        assert!(pages.iter().any(|(name, _)| name == "smtpgate.1"));
    }

    #[test]
    fn a_page_of_markdown() {
        let markdown = "# a.toml: the letter\n\nTakes `b` and\n*c*.\n\n## Keys\n\n- `d` = `1`\\\n  A number,\n  or none.\n\n```\n.e = 1\n```\n";
        let page = configuration(markdown).unwrap();
        let expected = ".SH NAME\na.toml \\- the letter\n.SH DESCRIPTION\n.PP\nTakes \\fBb\\fR and \\fIc\\fR.\n.SH KEYS\n.TP\n\
                        \\fBd\\fR = \\fB1\\fR\nA number, or none.\n.PP\n.EX\n\\&.e = 1\n.EE\n";
        assert!(page.ends_with(expected), "{page}");
        assert!(
            configuration("# a: b\n\n1. first\n").is_err(),
            "a list that it does not know"
        );
    }
}
