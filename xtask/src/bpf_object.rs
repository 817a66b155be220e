//! A BPF object as a file: what is left out of the committed one, and what is told of it.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind,
    build::elf::{Builder, SectionData},
    elf,
};
use sha2::{Digest as _, Sha256};

/// Bytes of an instruction.
const INSTRUCTION: u64 = 8;

/// Takes out the DWARF, which only served to make the BTF, and relocations that only linkers read. Programs, maps, their
/// relocations, BTF and license stay.
pub(crate) fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(linked).context("the linker's output is not an ELF file")?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = [".debug", ".rel.debug", ".rel.BTF"]
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()));
    }
    for symbol in &mut builder.symbols {
        symbol.delete = symbol.section.is_some_and(|id| builder.sections.get(id).delete);
    }
    builder.delete_orphan_relocations();
    // LLVM keeps the names of sections and of symbols in one table, this writer in two.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut out = Vec::new();
    builder
        .write(&mut out)
        .context("the stripped object cannot be written")?;
    Ok(out)
}

/// One thing in an object that two builds can differ in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// A program's name, or a section's.
    pub(crate) name: String,
    /// How it is told to people.
    pub(crate) told: String,
    content: Vec<u8>,
}

/// Everything that gets into the kernel: programs with what their instructions refer to, maps, BTF, constants, license.
pub(crate) fn parts(elf: &[u8]) -> Result<Vec<Part>> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let mut parts = Vec::new();
    for section in file.sections() {
        let name = section.name()?;
        let data = section.data()?;
        if section.kind() != SectionKind::Text {
            if matches!(name, ".maps" | ".rodata" | "license" | ".BTF" | ".BTF.ext") {
                parts.push(Part {
                    name: name.to_owned(),
                    told: format!("{} bytes", data.len()),
                    content: data.to_vec(),
                });
            }
            continue;
        }
        for symbol in file.symbols() {
            if symbol.section_index() != Some(section.index()) || symbol.kind() != SymbolKind::Text {
                continue;
            }
            let range = symbol.address()..symbol.address() + symbol.size();
            let mut content = section
                .data_range(range.start, symbol.size())?
                .context("a symbol beyond its section")?
                .to_vec();
            for (offset, relocation) in section.relocations().filter(|(offset, _)| range.contains(offset)) {
                if let RelocationTarget::Symbol(target) = relocation.target() {
                    write!(
                        Text(&mut content),
                        "\n{}: {}",
                        offset - range.start,
                        file.symbol_by_index(target)?.name()?
                    )?;
                }
            }
            parts.push(Part {
                name: format!("{name}: {}", symbol.name()?),
                told: format!("{} instructions", symbol.size() / INSTRUCTION),
                content,
            });
        }
    }
    for symbol in file.symbols() {
        if symbol.section_index() == file.section_by_name(".maps").map(|section| section.index())
            && symbol.kind() == SymbolKind::Data
        {
            parts.push(Part {
                name: format!("map {}", symbol.name()?),
                told: String::new(),
                content: Vec::new(),
            });
        }
    }
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(parts)
}

/// Parts and hash, for people.
pub(crate) fn summary(elf: &[u8]) -> Result<String> {
    let mut out = String::new();
    for part in parts(elf)? {
        writeln!(out, "  {:<28} {}", part.name, part.told)?;
    }
    writeln!(out, "  {} bytes, sha256 {}", elf.len(), sha256(elf))?;
    Ok(out)
}

/// As `sha256sum` prints it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Text at the end of bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
