//! From any file name to an identifier that every language takes.

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

/// A name for a table in source code: `[A-Za-z][A-Za-z0-9_]*`, at most [`Identifier::LEN_MAX`]
/// bytes, no keyword of a language that perfecta emits, no two underscores in a row and none at
/// either end (C and C++ reserve these).
///
/// Two names can lead to one identifier; compare [`Identifier::collision_key`]s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(String);

/// A text that is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{escaped:?} is no identifier; {suggestion} would be one", escaped = .text.escape_default().to_string())]
pub struct IdentifierError {
    /// The text.
    pub text: String,
    /// What [`Identifier::of_file_name`] makes of it.
    pub suggestion: Identifier,
}

impl Identifier {
    /// C99 compilers tell apart names that differ in their first 63 bytes; the longest that is made
    /// of an identifier has `_self_test_keys` added.
    pub const LEN_MAX: usize = 63 - "_self_test_keys".len();

    /// The identifier of a table made from the file of this name, given as bytes.
    ///
    /// Always the same for the same bytes, whatever the system. In order:
    ///
    /// 1. an extension that only says "keys" (`.keys`, `.keys32`, `.keys64`, `.txt`, `.bin`) goes;
    /// 2. every run of bytes other than ASCII letters and digits becomes one `_`; none stays at
    ///    either end;
    /// 3. if nothing is left, the identifier is `table`; if a digit is first, `t` comes before it;
    ///    if it is a reserved word in any case of letters, `_table` follows it;
    /// 4. if the name holds bytes outside printable ASCII, or the result is too long, it is cut to
    ///    fit and `_` and eight hex digits of the name's FNV-1a hash follow.
    #[must_use]
    pub fn of_file_name(name: &[u8]) -> Self {
        let stem = without_key_extension(name);
        let mut text = joined_words(stem);
        if text.is_empty() {
            text.push_str("table");
        }
        if text.as_bytes()[0].is_ascii_digit() {
            text.insert(0, 't');
        }
        if is_reserved(&text) {
            text.push_str("_table");
        }
        let is_plain = name.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_plain || text.len() > Self::LEN_MAX {
            text.truncate(Self::LEN_MAX - 9);
            let text_end = text.trim_end_matches('_').len();
            text.truncate(text_end);
            text.push_str(&format!("_{:08x}", short_hash(name)));
        }
        Self(text)
    }

    /// Takes `text` as it is.
    ///
    /// # Errors
    /// [`IdentifierError`] if it is no identifier.
    pub fn new(text: &str) -> Result<Self, IdentifierError> {
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let has_reserved_form = text.contains("__") || text.ends_with('_') || is_reserved(text);
        if starts_well && is_word && !has_reserved_form && text.len() <= Self::LEN_MAX {
            return Ok(Self(text.to_owned()));
        }
        let suggestion = Self::of_file_name(text.as_bytes());
        Err(IdentifierError { text: text.to_owned(), suggestion })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In capitals, for constants and macros.
    #[must_use]
    pub fn to_upper(&self) -> String {
        self.0.to_ascii_uppercase()
    }

    /// Tables whose identifiers have the same key cannot stand side by side: their files would
    /// overwrite each other where the file system ignores case, and their macros everywhere.
    #[must_use]
    pub fn collision_key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Extensions that say no more than "keys".
const KEY_EXTENSIONS: [&[u8]; 5] = [b".keys", b".keys32", b".keys64", b".txt", b".bin"];

fn without_key_extension(name: &[u8]) -> &[u8] {
    let ends_with = |extension: &[u8]| {
        name.len() > extension.len()
            && name[name.len() - extension.len()..].eq_ignore_ascii_case(extension)
    };
    let extension = KEY_EXTENSIONS.into_iter().find(|extension| ends_with(extension));
    &name[..name.len() - extension.map_or(0, <[u8]>::len)]
}

fn joined_words(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let words = name.split(|byte| !byte.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push('_');
        }
        text.extend(word.iter().copied().map(char::from));
    }
    text
}

/// FNV-1a of 64 bits, folded to 32: tells apart names that lose their letters.
fn short_hash(name: &[u8]) -> u32 {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

fn is_reserved(text: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> =
        LazyLock::new(|| RESERVED.iter().flat_map(|list| list.split_ascii_whitespace()).collect());
    let text = text.to_ascii_lowercase();
    text.ends_with("intrin") || WORDS.contains(text.as_str())
}

/// Words that a table must not have as its name, in lower case.
const RESERVED: [&str; 7] = [
    // C to C23 and C++ to C++23.
    "alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor
     bool break case catch char char8_t char16_t char32_t class co_await co_return co_yield compl
     concept const const_cast consteval constexpr constinit continue decltype default delete do
     double dynamic_cast else enum explicit export extern false float for friend goto if import
     inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
     private protected public reflexpr register reinterpret_cast requires restrict return short
     signed sizeof static static_assert static_cast struct switch synchronized template this
     thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using
     virtual void volatile wchar_t while xor xor_eq linux unix",
    // Rust, with the crates and types that a module of the same name would hide.
    "abstract alloc as async await become box core crate dyn final fn gen impl in let loop macro
     match mod move mut override priv pub ref self std super test trait type union unsafe unsized use
     where yield u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f16 f32 f64 f128 str",
    // Python, Go, Zig, Java, JavaScript, C#, without those of C, C++ and Rust.
    "addrspace align allowzero and any anyframe anytype arguments assert base boolean byte callconv chan
     checked comptime debugger decimal def defer del delegate elif errdefer error eval event except exec
     extends fallthrough finally fixed foreach from func function global go goto implements implicit
     instanceof interface internal is lambda linksection lock map native nil noalias none nonlocal null
     object opaque orelse out package packed params pass print raise range readonly sbyte sealed select
     stackalloc strictfp string suspend synchronized threadlocal throws transient typeof uint ulong
     unchecked undefined unreachable ushort usingnamespace val var volatile with",
    // Headers of C, POSIX, glibc, musl and gcc outside directories: one of the same name would hide
    // them from all that is compiled where it is looked for.
    "aio aliases alloca ar argp argz assert byteswap complex cpio cpuid crypt ctype devctl
     dirent dlfcn elf endian envz err errno error execinfo fcntl features fenv float fmtmsg
     fnmatch fpu_control fstab fts ftw gconv getopt glob grp gshadow iconv ieee754 ifaddrs
     inttypes iso646 langinfo lastlog libgen libintl limits link locale malloc math mcheck
     memory mntent monetary mqueue ndbm netdb nl_types nss obstack paths poll printf
     proc_service pthread pty pwd re_comp regex regexp resolv sched search semaphore setjmp
     sgtty shadow signal spawn stab stdalign stdarg stdatomic stdbit stdbool stdckdint stddef
     stdfix stdint stdio stdio_ext stdlib stdnoreturn string strings stropts syscall sysexits
     syslimits syslog tar termio termios tgmath thread_db threads time trace ttyent uchar
     ucontext ulimit unistd unwind ustat utime utmp utmpx values varargs wait wchar wctype
     wordexp",
    // Those of gcc's own and of its libraries; what ends in `intrin` is one, too.
    "acc_prof altivec arm_acle arm_bf16 arm_cde arm_cmse arm_fp16 arm_mve arm_mve_types arm_neon
     arm_sme arm_sve backtrace backtrace_supported cet cross_stdarg cxxabi gcov gnu_versions htmxlintrin
     itm libitm mm3dnow mm_malloc msa omp openacc paired quadmath quadmath_weak riscv_vector s390intrin
     si2vmx spe spu2vmx unwind_arm_common vec_types vecintrin vxworks",
    // Devices, which Windows takes no file by the name of.
    "aux con nul prn com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5
     lpt6 lpt7 lpt8 lpt9",
    // Names that a build tool or a file of ours has already.
    "all clean debug install lib main manifest release",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: impl AsRef<[u8]>, expected: &str) {
        let identifier = Identifier::of_file_name(name.as_ref());
        assert_eq!(identifier.as_str(), expected);
        assert_eq!(Identifier::new(expected).as_ref(), Ok(&identifier), "{expected}");
    }

    #[test]
    fn a_file_name_becomes_the_identifier_one_would_write() {
        check("HologramWorld-31016.keys", "HologramWorld_31016");
        check("shell32-13803.KEYS", "shell32_13803");
        check("api-ms-win-core--1.dll.keys64", "api_ms_win_core_1_dll");
        check("__private__", "private_table");
        check("7z.keys", "t7z");
        check("class.keys", "class_table");
        check("Self.txt", "Self_table");
        check("stdio.bin", "stdio_table");
        check("features.keys", "features_table");
        check("Pthread.keys", "Pthread_table");
        check("sched.keys", "sched_table");
        check("nl-types.keys", "nl_types_table");
        check("CON.keys", "CON_table");
        check("mut.keys", "mut_table");
        check("lib.keys", "lib_table");
        check("immintrin.keys", "immintrin_table");
        check("omp.keys", "omp_table");
        check("arm-neon.keys", "arm_neon_table");
        check("cxxabi.keys", "cxxabi_table");
        check(".keys", "keys");
        check("", "table");
        check("*/ #include <x> /*", "include_x");
        check("a\\\n;rm -rf $(x)", "a_rm_rf_x_f248d2ad");
        check([0xff, b'a', 0xfe], "a_14ddc982");
        check("ключи.keys", "table_bbecf16e");
        check("x".repeat(255), &format!("{}_936f9f8d", "x".repeat(39)));
    }

    #[test]
    fn names_that_share_an_identifier_are_told_by_their_collision_keys() {
        let key = |name: &str| Identifier::of_file_name(name.as_bytes()).collision_key();
        assert_eq!(key("a-b.keys"), key("A_B.keys"));
        assert_ne!(key("ключ.keys"), key("クエ.keys"));
    }

    proptest! {
        #[test]
        fn any_name_becomes_an_identifier(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            let identifier = Identifier::of_file_name(&name);
            prop_assert_eq!(Identifier::new(identifier.as_str()), Ok(identifier));
        }

        #[test]
        fn any_printable_name_becomes_an_identifier(name in "[ -~]{0,120}") {
            let identifier = Identifier::of_file_name(name.as_bytes());
            prop_assert_eq!(Identifier::new(identifier.as_str()), Ok(identifier));
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused_with_a_suggestion() {
        let refuse = |text: &str, suggestion: &str| {
            let error = Identifier::new(text).unwrap_err();
            assert_eq!(error.suggestion.as_str(), suggestion);
        };
        refuse("a-b", "a_b");
        refuse("int", "int_table");
        refuse("_a", "a");
        refuse("a__b", "a_b");
        refuse("", "table");
    }
}
