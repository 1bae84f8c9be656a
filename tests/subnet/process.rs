//! The real binary as a child process: what it prints, how it ends, and that it never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for something to be there; `about` says what is known when it is not.
///
/// # Panics
/// When `patience` has run out.
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
    about: impl FnOnce() -> String,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "{what}: not after {} s\n{}", patience.as_secs(), about());
        sleep(LOOK_EVERY);
    }
}

/// A command of the binary, without anything of the environment that could change what it does.
pub fn grail(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(args).env_clear().current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("HOME", home).env("HF_HUB_OFFLINE", "1").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A run that ends by itself.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The one line that a failure is told with.
    pub fn line(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        let told: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("grail: ")).collect();
        let [line] = told[..] else { panic!("one line that begins with `grail: `, not {}", self.stderr) };
        line
    }
}

/// Runs to the end, which has to come within `patience`.
pub fn run(home: &Path, args: &[&str], patience: Duration) -> Ended {
    let mut process = Process::start(home, args);
    let code = process.wait(patience).code();
    Ended { code, stdout: process.printed().join("\n"), stderr: process.told() }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A process that is running, with what it has printed so far. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    pub fn start(home: &Path, args: &[&str]) -> Self {
        Self::start_with(home, args, &[])
    }

    /// With these variables in its environment.
    pub fn start_with(home: &Path, args: &[&str], variables: &[(&str, String)]) -> Self {
        let mut command = grail(home, args);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
        let (stdout, stderr) = (Lines::default(), Lines::default());
        collect(child.stdout.take().expect("a pipe"), &stdout);
        collect(child.stderr.take().expect("a pipe"), &stderr);
        Self { name: args.join(" "), child, stdout, stderr }
    }

    pub fn printed(&self) -> Vec<String> {
        lock(&self.stdout).clone()
    }

    pub fn told(&self) -> String {
        lock(&self.stderr).join("\n")
    }

    /// Everything it said, for the message of a failure.
    pub fn story(&self) -> String {
        let events = self.printed().into_iter().filter(|line| !line.contains("\"event\":\"working\""));
        format!("{}\n{}\n{}", self.name, events.collect::<Vec<_>>().join("\n"), self.told())
    }

    /// The JSON objects it has printed.
    pub fn events(&self) -> Vec<Value> {
        // A kill may cut the last line.
        let whole = lock(&self.stdout).iter().filter(|line| line.ends_with('}')).cloned().collect::<Vec<_>>();
        whole.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }

    /// Events of a name.
    pub fn all(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|e| e["event"] == event).collect()
    }

    /// The first event that is looked for, waited for.
    pub fn event(&mut self, what: &str, patience: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        let look = |process: &mut Self| {
            let found = process.events().into_iter().find(|event| is_it(event));
            let ended = found.is_none().then(|| process.ended()).flatten();
            // What was printed last may come after the end was seen.
            match ended {
                Some(_) => process.events().into_iter().find(|event| is_it(event)).or_else(|| {
                    panic!("{what}: ended before\n{}", process.story());
                }),
                None => found,
            }
        };
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begun.elapsed() < patience, "{what}: not after {} s\n{}", patience.as_secs(), self.story());
            sleep(LOOK_EVERY);
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child of ours");
        if status.is_some() {
            // Its pipes are closed, and their readers have read them in a moment.
            eventually("the end of its output", Duration::from_secs(10), || self.is_read().then_some(()), String::new);
        }
        status
    }

    fn is_read(&self) -> bool {
        Arc::strong_count(&self.stdout) == 1 && Arc::strong_count(&self.stderr) == 1
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < patience, "no end after {} s\n{}", patience.as_secs(), self.story());
            sleep(LOOK_EVERY);
        }
    }

    /// SIGKILL: no chance to do anything any more.
    pub fn kill(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }

    /// What Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// What a service manager sends.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("kill");
        assert!(status.success(), "{}", self.story());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock(lines: &Lines) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(pipe: impl Read + Send + 'static, lines: &Lines) {
    let lines = Arc::clone(lines);
    spawn(move || {
        for line in BufReader::new(pipe).lines() {
            // A line that was cut by a kill is none.
            let Ok(line) = line else { break };
            lock(&lines).push(line);
        }
    });
}
