//! Where a language's text goes: to a writer, or to a counter of bytes.

use std::io::{self, Write};

use perfecta_core::key::KeyWidth;

use crate::description::{Description, Elements, SelfTestKeys, TableFile};
use crate::numbers;

/// What a language writes to. Everything but the two arrays and the table file is plain `write!`.
pub(crate) trait Output: Write {
    /// The body of the assigned array: decimal numbers, each followed by a comma.
    fn elements(&mut self, description: &Description<'_>) -> io::Result<()>;

    /// The body of the array of keys, if these are included: hex numbers, each followed by a comma.
    fn keys(&mut self, description: &Description<'_>) -> io::Result<()>;

    /// The bytes of the table file.
    fn table_file(&mut self, description: &Description<'_>) -> io::Result<()>;
}

/// The text of a larger array is written anew for every file: no table holds it twice in memory.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Renders into a writer.
pub(crate) struct Rendering<'a>(pub(crate) &'a mut dyn Write);

impl Write for Rendering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Rendering<'_> {
    fn elements(&mut self, description: &Description<'_>) -> io::Result<()> {
        let Elements::Solved(bytes) = description.elements else {
            unreachable!("an expected table is never rendered");
        };
        let width = description.element_width();
        let write = |out: &mut dyn Write| numbers::write_elements(out, bytes, width);
        if bytes.len() > KEPT_BYTES_MAX {
            return write(self.0);
        }
        let text = description.shared.elements.get_or_init(|| {
            let mut text = Vec::with_capacity(bytes.len() * 3);
            write(&mut text).expect("memory takes it");
            text
        });
        self.0.write_all(text)
    }

    fn keys(&mut self, description: &Description<'_>) -> io::Result<()> {
        let keys = match description.self_test_keys {
            SelfTestKeys::Included(keys) => keys,
            SelfTestKeys::Expected => unreachable!("expected keys are never rendered"),
            SelfTestKeys::Omitted => return Ok(()),
        };
        match description.key_width() {
            KeyWidth::Bits32 => numbers::write_hex::<8>(self.0, &mut keys.iter()),
            KeyWidth::Bits64 => numbers::write_hex::<16>(self.0, &mut keys.iter()),
        }
    }

    fn table_file(&mut self, description: &Description<'_>) -> io::Result<()> {
        let TableFile::Encoded(encode) = description.table_file else {
            unreachable!("an expected table is never rendered");
        };
        self.0.write_all(&encode())
    }
}

/// Counts the bytes that [`Rendering`] would write, the arrays by formula.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) bytes: u64,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Counting {
    fn elements(&mut self, description: &Description<'_>) -> io::Result<()> {
        let geometry = description.parameters.geometry;
        self.bytes += match description.elements {
            Elements::Solved(bytes) => {
                numbers::elements_text_bytes(bytes, description.element_width())
            }
            Elements::Expected => numbers::expected_text_bytes(
                geometry.vertices(),
                description.parameters.num_keys,
                geometry.edge_capacity(),
            ),
        };
        Ok(())
    }

    fn keys(&mut self, description: &Description<'_>) -> io::Result<()> {
        match description.self_test_keys {
            SelfTestKeys::Included(_) | SelfTestKeys::Expected => {
                let (count, width) = (description.parameters.num_keys, description.key_width());
                self.bytes += numbers::hex_text_bytes(u64::from(count), width.bytes() as u64 * 2);
            }
            SelfTestKeys::Omitted => {}
        }
        Ok(())
    }

    fn table_file(&mut self, description: &Description<'_>) -> io::Result<()> {
        self.bytes += match description.table_file {
            TableFile::Encoded(encode) => encode().len() as u64,
            TableFile::Expected(bytes) => bytes,
        };
        Ok(())
    }
}
