//! Kernels of Debian's suites, kept under `target/kernels/`.
//!
//! They come through apt, from the mirror that this machine's own apt uses and with the signatures checked, but with
//! package lists and caches of their own: nothing on this machine is changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::succeed;

/// What pulls in a suite's present kernel: the one for virtual machines, which is smaller.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// Which keys may sign a suite.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What the guest needs and the kernel has not built in; without the modules that these need.
const MODULES: [&str; 5] = ["veth", "sch_ingress", "cls_bpf", "macvlan", "8021q"];

/// A kernel, ready to boot.
#[derive(Debug)]
pub struct Kernel {
    /// The folder that holds it.
    folder: PathBuf,
}

impl Kernel {
    /// The present kernel of a suite. Fetched once (about 40 MiB); a newer one after its folder is removed.
    pub fn of(suite: &str) -> Result<Self> {
        let kernels = folder()?;
        let lock = File::create(kernels.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let folder = kernels.join(suite);
        if !folder.exists() {
            let draft = kernels.join("draft");
            if draft.exists() {
                fs::remove_dir_all(&draft).with_context(|| format!("{}: left over", draft.display()))?;
            }
            fetch(suite, &draft).with_context(|| format!("kernel of Debian's {suite}"))?;
            // It gets its name last: a folder that is there is complete.
            fs::rename(draft.join("kernel"), &folder)?;
            fs::remove_dir_all(&draft)?;
        }
        Ok(Self { folder })
    }

    /// The image to boot.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Modules to load, in this order.
    pub fn modules(&self) -> Result<Vec<PathBuf>> {
        let mut modules = Vec::new();
        for entry in fs::read_dir(self.folder.join("modules"))? {
            modules.push(entry?.path());
        }
        modules.sort_unstable();
        Ok(modules)
    }

    /// For example `5.10.0-32-cloud-amd64`.
    pub fn release(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("release"))?)
    }
}

fn folder() -> Result<PathBuf> {
    let folder = crate::lab::root::lab_folder()?.with_file_name("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(folder)
}

/// Downloads and unpacks in `draft`; the kernel is in its folder `kernel` then.
fn fetch(suite: &str, draft: &Path) -> Result<()> {
    let apt = Apt::new(suite, draft)?;
    succeed(apt.command("apt-get").args(["--quiet", "update"]))?;
    let packages = apt.packages()?;
    let packed = draft.join("packages");
    let tree = draft.join("tree");
    for folder in [&packed, &tree] {
        fs::create_dir_all(folder)?;
    }
    succeed(
        apt.command("apt-get")
            .args(["--quiet", "download"])
            .args(&packages)
            .current_dir(&packed),
    )?;
    for entry in fs::read_dir(&packed)? {
        succeed(Command::new("dpkg-deb").arg("--extract").arg(entry?.path()).arg(&tree))?;
    }
    keep(&tree, &draft.join("kernel"))
}

/// apt with its own sources and state.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(suite: &str, draft: &Path) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING}: missing; apt-get install debian-archive-keyring");
        }
        let apt = draft.join("apt");
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(folder))?;
        }
        let [sources, status] = ["sources.list", "status"].map(|file| apt.join(file));
        fs::write(
            &sources,
            format!("deb [arch=amd64 signed-by={KEYRING}] {} {suite} main\n", mirror()?),
        )?;
        fs::write(&status, "")?;
        let paths = [
            ("Dir::Etc::sourcelist", sources),
            ("Dir::Etc::sourceparts", PathBuf::from("-")),
            ("Dir::State::status", status),
            ("Dir::State::lists", apt.join("lists")),
            ("Dir::Cache", apt.join("cache")),
        ];
        let mut options = vec![
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
        ];
        // Its own user may not enter the folders above.
        options.push("APT::Sandbox::User=root".to_owned());
        options.extend(paths.map(|(key, path)| format!("{key}={}", path.display())));
        Ok(Self { options })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// The packages that hold the kernel and its modules: one package, three in newer suites.
    fn packages(&self) -> Result<Vec<String>> {
        let said = succeed(self.command("apt-cache").args([
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-breaks",
            "--no-conflicts",
            "--no-replaces",
            "--no-enhances",
            PACKAGE,
        ]))?;
        let packages: Vec<String> = said
            .lines()
            .filter(|line| {
                ["linux-image-", "linux-binary-", "linux-modules-"].iter().any(|kind| {
                    let version = line.strip_prefix(kind);
                    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
                })
            })
            .map(str::to_owned)
            .collect();
        if packages.is_empty() {
            bail!("{PACKAGE} leads to no kernel:\n{said}");
        }
        Ok(packages)
    }
}

/// Where this machine's apt gets Debian from. Its security archive and the like have other paths.
fn mirror() -> Result<String> {
    let said = succeed(Command::new("apt-get").env("LC_ALL", "C").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    said.lines()
        .map(|uri| uri.trim_end_matches('/'))
        .find(|uri| uri.ends_with("/debian"))
        .map(str::to_owned)
        .with_context(|| format!("apt's sources name no Debian mirror (a URI that ends with /debian), but:\n{said}"))
}

/// Copies the image and the modules out of the unpacked packages.
fn keep(tree: &Path, kernel: &Path) -> Result<()> {
    let files = files_below(tree)?;
    let image = files
        .iter()
        .find(|path| file_name(path).starts_with("vmlinuz"))
        .context("no vmlinuz in the packages")?;
    let release = files
        .iter()
        .find_map(|path| {
            let (_, behind) = path.to_str()?.split_once("/lib/modules/")?;
            behind.split('/').next()
        })
        .context("no modules in the packages")?;
    fs::create_dir_all(kernel.join("modules"))?;
    fs::copy(image, kernel.join("vmlinuz"))?;
    fs::write(kernel.join("release"), release)?;
    let mut order = Vec::new();
    for module in MODULES {
        add(&files, module, &mut order)?;
    }
    for (number, (name, bytes)) in order.iter().enumerate() {
        fs::write(kernel.join(format!("modules/{number:02}-{name}.ko")), bytes)?;
    }
    Ok(())
}

/// Puts a module behind all that it depends on.
fn add(files: &[PathBuf], module: &str, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if order.iter().any(|(name, _)| name == module) {
        return Ok(());
    }
    let path = files
        .iter()
        .find(|path| {
            let name = file_name(path);
            let name = name.strip_suffix(".xz").unwrap_or(name);
            name.strip_suffix(".ko") == Some(module)
        })
        .with_context(|| format!("no module {module} in the packages"))?;
    let bytes = if file_name(path).ends_with(".xz") {
        let out = Command::new("xz")
            .args(["--decompress", "--stdout"])
            .arg(path)
            .output()
            .context("xz: cannot be started; apt-get install xz-utils")?;
        if !out.status.success() {
            bail!("xz {}: {}", path.display(), String::from_utf8_lossy(&out.stderr));
        }
        out.stdout
    } else {
        fs::read(path)?
    };
    for needed in dependencies(&bytes) {
        add(files, &needed, order)?;
    }
    order.push((module.to_owned(), bytes));
    Ok(())
}

/// From the module's own notes (section `.modinfo`: `depends=a,b`, ended by a zero byte).
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn kernels_debian_reads_what_a_module_depends_on() {
        let module = b"\x7fELF..\0license=GPL\0depends=mrp,garp\0retpoline=Y\0";
        assert_eq!(dependencies(module), ["mrp", "garp"]);
        assert!(dependencies(b"\0license=GPL\0depends=\0name=veth\0").is_empty());
        assert!(dependencies(b"no notes").is_empty());
    }
}
