//! A stand-in for the Hugging Face hub on loopback: data sets with commits and a large store, over the hub's HTTP
//! interface, and told to misbehave where a test wants it to.
//!
//! It holds its clients to what the real one does: a token with the right to write, objects whose SHA-256 and size are
//! those that were announced, a parent that is still the head. Storage has an address of its own and refuses requests
//! that carry a token, as signed addresses of S3 do. That this is the hub's interface is what the hub's own Python client
//! shows, which works against it unmodified (tests/python/hub.py). Uploads by Xet are not served; that client falls back
//! with HF_HUB_DISABLE_XET=1.

mod answer;
mod api;
mod fault;
mod large;
mod repo;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use answer::{Answer, Request};
pub use fault::{Fault, Kind, Step};
pub use repo::{Commit, File};

use repo::Repo;

/// A token that may write.
pub const WRITER: &str = "hf_writersecret";
/// A token that may only read.
pub const READER: &str = "hf_readersecret";
/// Whose data sets the tokens may make.
pub const OWNER: &str = "org";

/// A request that was answered, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// GET, PUT ...
    pub method: String,
    /// Without what follows a question mark.
    pub path: String,
    /// Whether it carried a token.
    pub has_token: bool,
    /// Whether it came to the storage's address.
    pub is_storage: bool,
}

/// A running stand-in. Its threads end with the process.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) url: String,
    /// Where objects go, an address of its own.
    pub(crate) storage: String,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) repos: BTreeMap<String, Repo>,
    /// The large store, by SHA-256.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// What was put and is not verified yet.
    pub(crate) arrived: BTreeMap<String, Vec<u8>>,
    /// Old names.
    pub(crate) renamed: BTreeMap<String, String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) seen: Vec<Seen>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Starts one without data sets.
    ///
    /// # Errors
    /// The system's, when there is no port.
    pub fn start() -> std::io::Result<Self> {
        let (api, storage) = (server::Port::open()?, server::Port::open()?);
        let shared = Arc::new(Shared { url: api.url(), storage: storage.url(), state: Mutex::default() });
        api.serve(Arc::clone(&shared), api::answer);
        storage.serve(Arc::clone(&shared), large::answer);
        Ok(Self { shared })
    }

    /// Its address, for `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Makes an empty data set, public or not.
    pub fn create(&self, id: &str, private: bool) {
        self.shared.state().repos.insert(id.to_owned(), Repo::new(private));
    }

    /// Makes a branch at the head of `main`.
    ///
    /// # Panics
    /// Without the data set.
    pub fn branch(&self, id: &str, branch: &str) {
        let mut state = self.shared.state();
        let repo = state.repos.get_mut(id).expect("a data set");
        let head = repo.branches["main"].clone();
        repo.branches.insert(branch.to_owned(), head);
    }

    /// Gives a data set another name, under which alone it can be written to.
    ///
    /// # Panics
    /// Without the data set.
    pub fn rename(&self, id: &str, to: &str) {
        let mut state = self.shared.state();
        let repo = state.repos.remove(id).expect("a data set");
        state.repos.insert(to.to_owned(), repo);
        state.renamed.insert(id.to_owned(), to.to_owned());
    }

    /// A commit of somebody else.
    ///
    /// # Panics
    /// Without the data set.
    pub fn commit(&self, id: &str, branch: &str, path: &str, content: &[u8]) {
        let mut state = self.shared.state();
        let State { repos, objects, .. } = &mut *state;
        repos.get_mut(id).expect("a data set").put(branch, path, content, objects);
    }

    /// Something that goes wrong from now on.
    pub fn misbehave(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// The commits of a branch, oldest first.
    ///
    /// # Panics
    /// Without the data set or the branch.
    #[must_use]
    pub fn log(&self, id: &str, branch: &str) -> Vec<Commit> {
        self.shared.state().repos[id].log(branch)
    }

    /// The paths of a branch's head with their bytes.
    ///
    /// # Panics
    /// Without the data set or the branch.
    #[must_use]
    pub fn files(&self, id: &str, branch: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.shared.state();
        let files = &state.repos[id].head(branch).expect("the branch").files;
        files.iter().map(|(path, file)| (path.clone(), file.content(&state.objects).to_vec())).collect()
    }

    /// Whether a data set is there, and private.
    #[must_use]
    pub fn is_private(&self, id: &str) -> Option<bool> {
        self.shared.state().repos.get(id).map(|repo| repo.private)
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }
}
