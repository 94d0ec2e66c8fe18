//! The artifacts that perfecta knows, as a renderer of jobs.

use std::path::Path;

use perfecta_core::family::Family;
use perfecta_core::format;
use perfecta_core::geometry::Geometry;
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::seeds::SeedSource;
use perfecta_core::table::{Parameters, Table};
use perfecta_emit::{
    ArtifactKind, ArtifactKinds, Bundle, Description, Identifier, OriginalName, SelfTestKeys,
};
use perfecta_io::FileContent;

use crate::error::{ItemError, RenderError};
use crate::render::{Estimate, Facts, RenderedFile, Renderer, check_image};

/// Renders a choice of artifacts: the table file, source code in several languages.
#[derive(Debug, Clone)]
pub struct Artifacts {
    kinds: ArtifactKinds,
    self_test: SelfTest,
}

/// Where self-tests of generated code get the keys from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfTest {
    /// The keys stand in the file, for the self-test only.
    WithKeys,
    /// It reads the key file that it is given.
    FromFile,
}

impl Artifacts {
    /// Artifacts of these kinds.
    #[must_use]
    pub const fn new(kinds: ArtifactKinds, self_test: SelfTest) -> Self {
        Self { kinds, self_test }
    }

    /// What is emitted.
    #[must_use]
    pub const fn kinds(&self) -> &ArtifactKinds {
        &self.kinds
    }

    /// Where self-tests get the keys from.
    #[must_use]
    pub const fn self_test(&self) -> SelfTest {
        self.self_test
    }

    const fn self_test_keys<'a>(&self, keys: &'a KeySet) -> SelfTestKeys<'a> {
        match self.self_test {
            SelfTest::WithKeys => SelfTestKeys::Included(keys),
            SelfTest::FromFile => SelfTestKeys::Omitted,
        }
    }
}

/// Most files of source code are no longer: they need not be moved to larger memory as they grow.
const MOST_ARTIFACTS_BYTES: usize = 8 << 10;

impl Renderer for Artifacts {
    fn fingerprint(&self) -> String {
        // Part of a format, see `options`.
        let self_test = match self.self_test {
            SelfTest::WithKeys => "keys-included",
            SelfTest::FromFile => "keys-from-file",
        };
        format!("{} {self_test}", self.kinds)
    }

    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        let view = table.view();
        let encode = || format::encode(&view);
        let keys = self.self_test_keys(facts.keys);
        let description = Description::new(view, facts.identifier, facts.keys_file, keys, &encode);
        let bundle = Bundle::new(description, self.kinds.clone());
        for artifact in bundle.artifacts() {
            // About as long as the one before it, where both hold the array.
            let previous = artifacts.last().map_or(0, |previous| previous.file.bytes.len());
            let mut bytes = Vec::with_capacity(previous.max(MOST_ARTIFACTS_BYTES));
            let name = artifact.file_name();
            artifact.render(&mut bytes).map_err(|error| RenderError {
                artifact: name.clone(),
                reason: error.to_string(),
            })?;
            let file = FileContent { name: name.into(), bytes };
            artifacts.push(RenderedFile { kind: artifact.kind().name(), file });
        }
        Ok(())
    }

    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        for file in files.iter().filter(|file| is_table_file(file)) {
            let name = file.name.to_string_lossy();
            let checked = check_image(&name, &file.bytes, keys, keep_going)?;
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    fn parameters(&self, files: &[FileContent]) -> Option<Parameters> {
        let file = files.iter().find(|file| is_table_file(file))?;
        let view = format::decode_trusting_sections(&file.bytes).ok()?;
        Some(*view.parameters())
    }

    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate {
        let parameters = expected_parameters(num_keys, width, geometry);
        let (identifier, name) = (Identifier::of_file_name(b"table"), OriginalName::new("table"));
        let bytes = format::encoded_bytes(&parameters) as u64;
        let keys = match self.self_test {
            SelfTest::WithKeys => SelfTestKeys::Expected,
            SelfTest::FromFile => SelfTestKeys::Omitted,
        };
        let description = Description::expected(parameters, &identifier, &name, keys, bytes);
        let bundle = Bundle::new(description, self.kinds.clone());
        Estimate { files: bundle.artifacts().count() as u64, bytes: bundle.size_bytes() }
    }
}

fn is_table_file(file: &FileContent) -> bool {
    let extension = Path::new(&file.name).extension();
    extension.is_some_and(|extension| extension == ArtifactKind::Pht.name())
}

/// Parameters of the table that a search in the default family is expected to give, as far as sizes
/// depend on them.
pub(crate) fn expected_parameters(
    num_keys: u64,
    width: KeyWidth,
    geometry: Geometry,
) -> Parameters {
    let family = Family::Folded;
    Parameters {
        family,
        seeds: SeedSource::default().draw(1, family, geometry),
        geometry,
        key_width: width,
        downsize: None,
        num_keys: num_keys.clamp(1, u64::from(geometry.edge_capacity())) as u32,
        first_key: 0,
        last_key: u64::from(u32::MAX),
    }
}
