//! What must hold for any bytes as a manifest: the fuzz target runs it on its own, a test on a corpus.

use perfecta_emit::Manifest;

/// Reads `bytes` as a manifest. One that is read comes back from what is written of it.
pub(crate) fn check_manifest(bytes: &[u8]) {
    match Manifest::from_json(bytes) {
        Ok(manifest) => {
            let again = Manifest::from_json(manifest.to_json().as_bytes());
            assert_eq!(again.ok().as_ref(), Some(&manifest));
            match manifest.table.parameters() {
                Ok(parameters) => assert!(parameters.geometry.edge_capacity() > 0),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
