//! The table file: perfecta-core's own format, passed through.

use crate::artifact::{FileGenerator, Generator};

pub(crate) static GENERATOR: Generator = Generator {
    name: "pht",
    summary: "the table file, to be mapped and used at once",
    files: &[FileGenerator {
        suffix: ".pht",
        is_needed: |_| true,
        render: |description, out| out.table_file(description),
    }],
};
