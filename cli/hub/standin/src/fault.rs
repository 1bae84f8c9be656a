//! What goes wrong, where, and how often.

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making a data set.
    Create,
    /// What a revision is.
    Revision,
    /// What is at some paths.
    Paths,
    /// How files would be taken.
    Preupload,
    /// Where objects go.
    Batch,
    /// An object's bytes.
    Put,
    /// Whether they arrived.
    Verify,
    /// A commit.
    Commit,
    /// A file.
    Resolve,
    /// The bytes of a large one.
    Fetch,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It gets this status and nothing is done.
    Status(u16),
    /// The same, with `Retry-After` in seconds.
    Later(u16, u64),
    /// The connection closes and nothing is done.
    Dropped,
    /// It is done, and the connection closes without an answer.
    LostAnswer,
    /// A commit of somebody else is made first: path and bytes.
    Race(String, Vec<u8>),
    /// The last byte of what is stored or sent is another.
    Damaged,
    /// Instead of the answer this comes, with status 200.
    Answer(String),
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// With which requests.
    pub step: Step,
    /// How.
    pub kind: Kind,
    /// With how many of them.
    pub times: u32,
}

impl Fault {
    /// One that happens so many times.
    #[must_use]
    pub fn new(step: Step, kind: Kind, times: u32) -> Self {
        Self { step, kind, times }
    }
}

/// Takes the next fault of a step.
pub(crate) fn next(faults: &mut Vec<Fault>, step: Step) -> Option<Kind> {
    let place = faults.iter().position(|fault| fault.step == step && fault.times > 0)?;
    let fault = &mut faults[place];
    fault.times -= 1;
    let kind = fault.kind.clone();
    faults.retain(|fault| fault.times > 0);
    Some(kind)
}
