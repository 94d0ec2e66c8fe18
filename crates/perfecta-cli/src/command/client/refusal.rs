//! What a daemon says of the fields of a request, said of the options that these were made from.

use perfecta_server::client::ClientError;

use crate::command::client::client_failure;
use crate::failure::Failure;

/// The option, or the argument, of each field that is made from one.
const OPTIONS: [(&str, &str); 34] = [
    ("inputs.files", "key file"),
    ("inputs.tree.root", "directory of key files"),
    ("inputs.tree.include", "--include"),
    ("inputs.tree.exclude", "--exclude"),
    ("output.directory", "output directory"),
    ("output.layout", "--layout"),
    ("output.durable", "--durable"),
    ("output.force", "--force"),
    ("output.emit", "--emit"),
    ("output.include_keys", "--include-keys"),
    ("keys.size", "--key-size"),
    ("keys.text", "--text"),
    ("keys.sort", "--sort"),
    ("keys.dedupe", "--dedupe"),
    ("search.hash", "--hash"),
    ("search.fixed_attempts", "--fixed-attempts"),
    ("search.max_attempts", "--max-attempts"),
    ("search.grow_after", "--grow-after"),
    ("search.max_grows", "--max-grows"),
    ("search.initial_grows", "--initial-grows"),
    ("search.seeds", "--seeds"),
    ("search.rng_seed", "--rng-seed"),
    ("search.rng_subsequence", "--rng-subsequence"),
    ("share.weight", "--weight"),
    ("share.max_files", "--max-files"),
    ("share.per_file_initial", "--per-file-initial"),
    ("share.per_file_max", "--per-file-max"),
    ("share.ramp_ms", "--ramp-ms"),
    ("share.node_policy", "--node-policy"),
    ("limits.memory_bytes", "--memory"),
    ("limits.max_milliseconds", "--max-seconds"),
    ("limits.max_output_bytes", "--max-output-bytes"),
    ("limits.deadline_ms", "--deadline"),
    ("limits.deadline_unix_ms", "--deadline"),
];

/// Why a daemon does not take a request that was made from options.
pub(super) fn of_options(error: &ClientError) -> Failure {
    let failure = client_failure(error);
    match error {
        ClientError::Refused(_) => failure.reworded(in_options),
        ClientError::NoServer { .. }
        | ClientError::Lost { .. }
        | ClientError::NoMeans { .. }
        | ClientError::Denied(_)
        | ClientError::Untrusted { .. }
        | ClientError::Untrusting { .. }
        | ClientError::SpeaksTls(_)
        | ClientError::Silent(_)
        | ClientError::VersionMismatch { .. }
        | ClientError::Nonsense(_) => failure,
    }
}

/// A sentence with options in the place of fields.
fn in_options(told: &str) -> String {
    OPTIONS.iter().fold(told.to_owned(), |told, (field, option)| named(&told, field, option))
}

/// A sentence with `option` wherever it names `field`, whole, or one of several that it holds: `field[7]`.
fn named(told: &str, field: &str, option: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "_./".contains(letter);
    let mut words = String::with_capacity(told.len());
    let mut copied = 0;
    for (at, _) in told.match_indices(field) {
        let end = at + field.len();
        let end = end + bytes_of_index(&told[end..]);
        let is_whole = !told[..at].ends_with(is_of_name) && !told[end..].starts_with(is_of_name);
        if is_whole {
            words.push_str(&told[copied..at]);
            words.push_str(option);
            copied = end;
        }
    }
    words.push_str(&told[copied..]);
    words
}

/// Bytes of the index that a text begins with, brackets included.
fn bytes_of_index(text: &str) -> usize {
    let index =
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(index, _)| index);
    let index = index.filter(|index| index.bytes().all(|letter| letter.is_ascii_digit()));
    index.map_or(0, |index| index.len() + 2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Subcommand as _;
    use perfecta_server::JobSpec;
    use serde_json::{Value, json};

    use super::*;
    use crate::command::client::ClientCommand;

    #[test]
    fn what_is_told_of_fields_is_told_of_options() {
        let check = |told: &str, expected: &str| assert_eq!(in_options(told), expected);
        check("share.node_policy: there is no node 9", "--node-policy: there is no node 9");
        check(
            "search.fixed_attempts: is 7, more than search.max_attempts, 3",
            "--fixed-attempts: is 7, more than --max-attempts, 3",
        );
        check("limits.deadline_unix_ms: is one", "--deadline: is one");
        check("inputs.files[12]: /a[1] holds a NUL", "key file: /a[1] holds a NUL");
        check("inputs.files[x: is none", "key file[x: is none");
        check("/a/keys.sort/x keys.sorted mykeys.sort", "/a/keys.sort/x keys.sorted mykeys.sort");
    }

    /// The names of all fields below `value`.
    fn fields(value: &Value, below: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    fields(value, &format!("{below}.{name}"), all);
                }
            }
            _ => drop(all.insert(below.trim_start_matches('.').to_owned())),
        }
    }

    #[test]
    fn every_field_of_a_request_has_its_option() {
        let mut all = BTreeSet::new();
        for inputs in [json!({"files": ["a"]}), json!({"tree": {"root": "k"}})] {
            let spec = json!({"inputs": inputs, "output": {"directory": "o"}});
            let spec: JobSpec = serde_json::from_value(spec).unwrap();
            fields(&serde_json::to_value(&spec).unwrap(), "", &mut all);
        }
        // The directory that relative paths are meant from is the program's own.
        assert!(all.remove("directory"));
        let listed = OPTIONS.iter().map(|(field, _)| (*field).to_owned());
        assert_eq!(all, listed.collect());
        let client = ClientCommand::augment_subcommands(clap::Command::new("client"));
        let bulk = client.find_subcommand("bulk-create").unwrap();
        let flags: Vec<&str> = bulk.get_arguments().filter_map(clap::Arg::get_long).collect();
        for flag in OPTIONS.iter().filter_map(|(_, option)| option.strip_prefix("--")) {
            assert!(flags.contains(&flag), "{flag}");
        }
    }
}
