//! `perfecta keygen`: key files from a seed, to try things on.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use perfecta_core::key::{KeyWidth, Shape, generate};
use perfecta_jobs::ExitClass;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::key_file;
use crate::options;
use crate::terminal::{Terminal, printable};
use crate::text::counted;
use crate::until_signal::Acts;

/// Write key files made from a seed.
///
/// Without --shape and --keys, an assortment: every shape in several sizes, 32 and 64 bits wide.
/// The same arguments give the same files everywhere. A file that is there and is another one is
/// not replaced, unless --force is given.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Directory to write into; it is made if it is not there
    directory: PathBuf,
    /// Only this shape: uniform, clusters, linear, strided, zero or ends
    #[arg(long, value_parser = options::parse_shape)]
    shape: Option<Shape>,
    /// Only files of this many keys
    #[arg(long, value_parser = options::parse_number)]
    keys: Option<u64>,
    /// Only keys of this many bits: 32 or 64
    #[arg(long, value_parser = options::parse_key_size)]
    key_size: Option<KeyWidth>,
    /// Seed of the generator
    #[arg(long, default_value = "1", value_parser = options::parse_number)]
    seed: u64,
    /// Replace files that are there and are others
    #[arg(long)]
    force: bool,
}

const ASSORTED_SIZES: [u64; 5] = [8, 186, 1_640, 31_016, 65_536];

impl Keygen {
    /// Writes the files.
    ///
    /// # Errors
    /// [`Failure`] if the request cannot be met, a file not be written, or another one is in its place.
    pub(crate) fn run(&self, terminal: &Terminal, acts: &Acts) -> Result<Exit, Failure> {
        let shapes = self.shape.map_or(Shape::ALL.to_vec(), |shape| vec![shape]);
        let sizes = self.keys.map_or(ASSORTED_SIZES.to_vec(), |keys| vec![keys]);
        let widths =
            self.key_size.map_or(vec![KeyWidth::Bits32, KeyWidth::Bits64], |width| vec![width]);
        let mut num_files = 0;
        let mut num_keys_all = 0;
        for width in widths {
            for &shape in &shapes {
                for &num_keys in &sizes {
                    self.write(width, shape, num_keys, acts)?;
                    num_files += 1;
                    num_keys_all += num_keys;
                }
            }
        }
        let directory = printable(&self.directory.display().to_string());
        let (files, keys) = (counted(num_files, "file"), counted(num_keys_all, "key"));
        terminal.say(&format!("{files}, {keys} in {directory}"))?;
        Ok(Exit::SUCCESS)
    }

    fn write(
        &self,
        width: KeyWidth,
        shape: Shape,
        num_keys: u64,
        acts: &Acts,
    ) -> Result<(), Failure> {
        if num_keys == 0 || num_keys > shape.keys_max(width) {
            let (name, max) = (shape.name(), shape.keys_max(width));
            return Err(Failure::usage(format!(
                "--keys {num_keys}: there can be 1 to {max} {name} keys of {} bits",
                width.bits()
            )));
        }
        let directory = subdirectory(&self.directory, width);
        let path = directory.join(format!("{}-{num_keys}.{}", shape.name(), extension(width)));
        key_file::check_memory(&path, num_keys * size_of::<u64>() as u64).map_err(|refusal| {
            refusal.with_remedy("ask for fewer keys (--keys), or do it where there is more memory")
        })?;
        fs::create_dir_all(&directory).map_err(|error| not_made(&directory, &error))?;
        let keys = generate(shape, width, num_keys as usize, self.seed);
        if self.force || !is_there(&path) {
            return publish(&path, pieces(&keys, width), acts)
                .map_err(|error| Failure::io("write", &path, &error));
        }
        if holds(&path, pieces(&keys, width)).unwrap_or(false) {
            return Ok(());
        }
        let message = format!("{}: it is there and is another file", path.display());
        Err(Failure::new(ExitClass::Conflict, message)
            .with_remedy("name another directory, or give --force to replace such files"))
    }
}

fn not_made(directory: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = format!("{}: it is there and is no directory", directory.display());
        return Failure::usage(message).with_remedy("name another directory");
    }
    Failure::io("make the directory", directory, error)
}

/// The bytes of a key file, one piece after another: all of them at once would be as much memory again.
fn pieces(keys: &[u64], width: KeyWidth) -> impl Iterator<Item = Vec<u8>> {
    const KEYS_AT_ONCE: usize = 1 << 17;
    keys.chunks(KEYS_AT_ONCE).map(move |keys| match width {
        KeyWidth::Bits32 => keys.iter().flat_map(|&key| (key as u32).to_le_bytes()).collect(),
        KeyWidth::Bits64 => keys.iter().flat_map(|key| key.to_le_bytes()).collect(),
    })
}

/// Writes a file beside its place and puts it there whole: what is cut off is a key file, too, of fewer
/// keys. Where the program ends, nothing is left of it.
fn publish(path: &Path, pieces: impl Iterator<Item = Vec<u8>>, acts: &Acts) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let act = acts.begin();
    let write = || {
        let mut file = File::create(&beside)?;
        for piece in pieces {
            act.check()?;
            file.write_all(&piece)?;
        }
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // It is the first error that is told.
        let _ = fs::remove_file(&beside);
    })
}

/// Whether something is there, also a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether it is a regular file of just these bytes.
fn holds(path: &Path, pieces: impl Iterator<Item = Vec<u8>>) -> io::Result<bool> {
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut found = Vec::new();
    for piece in pieces {
        found.resize(piece.len(), 0);
        file.read_exact(&mut found)?;
        if found != piece {
            return Ok(false);
        }
    }
    Ok(file.read(&mut [0])? == 0)
}

/// Keys of 64 bits have their own extension, which `--key-size auto` tells apart.
const fn extension(width: KeyWidth) -> &'static str {
    match width {
        KeyWidth::Bits32 => "keys",
        KeyWidth::Bits64 => "keys64",
    }
}

fn subdirectory(directory: &Path, width: KeyWidth) -> PathBuf {
    directory.join(format!("u{}", width.bits()))
}
