//! What an item is at, or waits for, in words: those of a [`Span`](crate::Span), and of what is told of
//! an item or a job that is stuck.

/// It waits for memory.
pub const AWAIT_BUFFER: &str = "await a buffer";
/// Its key file is read.
pub const READ_KEYS: &str = "read key file";
/// It is compared with what is published.
pub const COMPARE: &str = "compare with published table";
/// Its keys wait for their worker.
pub const AWAIT_SEARCH: &str = "await search";
/// Its keys are searched, and its table is verified and rendered.
pub const SEARCH: &str = "search";
/// Its table waits for its place in the packed file.
pub const PACK: &str = "pack";
/// It asks whether it may write.
pub const RESERVE: &str = "reserve output";
/// The directory above its own is made.
pub const MAKE_PARENT: &str = "make directory";
/// Its table is written, and read back.
pub const STAGE: &str = "write table and read it back";
/// It waits for a sync of what was written.
pub const AWAIT_SYNC: &str = "await sync";
/// It is moved to its place.
pub const PUBLISH: &str = "publish";
/// What was in its place is removed.
pub const CLEAR: &str = "clear what was there before";
/// It waits for a sync of the names.
pub const AWAIT_NAME_SYNC: &str = "await sync of names";
/// What it staged is removed.
pub const ABANDON: &str = "remove stage";

/// A published table is verified.
pub(crate) const VERIFY: &str = "verify";
/// Tables that are published are looked for.
pub(crate) const LIST_TABLES: &str = "list tables";
/// Key files of a job are looked for.
pub(crate) const LIST_KEYS: &str = "list key files";
/// A job's output directory and its stage are made, and what lies there is looked at.
pub(crate) const PREPARE_OUTPUT: &str = "prepare output";
/// A pack that is there is compared with what would be built.
pub(crate) const COMPARE_PACK: &str = "compare with published pack";
/// Tables are appended to a pack, and read back.
pub(crate) const APPEND: &str = "append to the pack and read it back";
/// What is published at once is, and the stage is removed.
pub(crate) const CLOSE_OUTPUT: &str = "close output";
