//! Data sets: commits with a parent and whole trees.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Files of the large store in a data set, as its `.gitattributes` would say; of others those that are this large.
const LARGE: [&str; 3] = [".parquet", ".arrow", ".bin"];
const LARGE_BYTES: u64 = 10 << 20;

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// In the commit itself.
    Regular(Vec<u8>),
    /// In the large store.
    Large {
        /// Its SHA-256 in hex.
        sha256: String,
        /// Its size.
        bytes: u64,
    },
}

impl File {
    pub(crate) fn content<'a>(&'a self, objects: &'a BTreeMap<String, Vec<u8>>) -> &'a [u8] {
        match self {
            Self::Regular(content) => content,
            Self::Large { sha256, .. } => &objects[sha256],
        }
    }

    /// What the hub calls the file's hash in Git.
    pub(crate) fn oid(&self) -> String {
        match self {
            Self::Regular(content) => hash(&[b"blob", content]),
            Self::Large { sha256, bytes } => hash(&[b"pointer", sha256.as_bytes(), &bytes.to_be_bytes()]),
        }
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// 40 hex digits that follow from the rest.
    pub id: String,
    /// None for the first.
    pub parent: Option<String>,
    /// Its first line.
    pub summary: String,
    /// Every file, by path.
    pub files: BTreeMap<String, File>,
}

/// A data set.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) private: bool,
    pub(crate) branches: BTreeMap<String, String>,
    pub(crate) commits: BTreeMap<String, Commit>,
}

impl Repo {
    pub(crate) fn new(private: bool) -> Self {
        let mut repo = Self { private, branches: BTreeMap::new(), commits: BTreeMap::new() };
        let attributes = LARGE.map(|ending| format!("*{ending} filter=lfs diff=lfs merge=lfs -text\n")).concat();
        let files = BTreeMap::from([(".gitattributes".to_owned(), File::Regular(attributes.into_bytes()))]);
        repo.add("main", "initial commit", files);
        repo
    }

    /// The commit that a branch's name or a commit's hash means.
    pub(crate) fn head(&self, revision: &str) -> Option<&Commit> {
        self.commits.get(self.branches.get(revision).map_or(revision, String::as_str))
    }

    /// Adds a commit with these files to a branch, which is made if there is none.
    pub(crate) fn add(&mut self, branch: &str, summary: &str, files: BTreeMap<String, File>) -> String {
        let parent = self.branches.get(branch).cloned();
        let mut parts = vec![summary.as_bytes().to_vec(), parent.clone().unwrap_or_default().into_bytes()];
        for (path, file) in &files {
            parts.push(path.as_bytes().to_vec());
            parts.push(file.oid().into_bytes());
        }
        let id = hash(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        self.branches.insert(branch.to_owned(), id.clone());
        self.commits.insert(id.clone(), Commit { id: id.clone(), parent, summary: summary.to_owned(), files });
        id
    }

    /// A commit of one file.
    pub(crate) fn put(
        &mut self,
        branch: &str,
        path: &str,
        content: &[u8],
        objects: &mut BTreeMap<String, Vec<u8>>,
    ) -> String {
        let mut files = self.head(branch).map(|commit| commit.files.clone()).unwrap_or_default();
        let bytes = content.len() as u64;
        let file = if is_large(path, bytes) {
            let sha256 = hex::encode(Sha256::digest(content));
            objects.insert(sha256.clone(), content.to_vec());
            File::Large { sha256, bytes }
        } else {
            File::Regular(content.to_vec())
        };
        files.insert(path.to_owned(), file);
        self.add(branch, &format!("Upload {path}"), files)
    }

    /// Oldest first.
    pub(crate) fn log(&self, branch: &str) -> Vec<Commit> {
        let mut log = Vec::new();
        let mut next = self.branches.get(branch);
        while let Some(commit) = next.and_then(|id| self.commits.get(id)) {
            log.push(commit.clone());
            next = commit.parent.as_ref();
        }
        log.reverse();
        log
    }

    /// Whether the branch's `.gitignore` has a line that is this path.
    pub(crate) fn ignores(&self, branch: &str, path: &str) -> bool {
        match self.head(branch).and_then(|commit| commit.files.get(".gitignore")) {
            Some(File::Regular(lines)) => String::from_utf8_lossy(lines).lines().any(|line| line == path),
            _ => false,
        }
    }
}

/// Whether a file of this name and size goes to the large store.
pub(crate) fn is_large(path: &str, bytes: u64) -> bool {
    bytes >= LARGE_BYTES || LARGE.iter().any(|ending| path.ends_with(ending))
}

/// 40 hex digits, as Git's hashes have.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..20])
}
