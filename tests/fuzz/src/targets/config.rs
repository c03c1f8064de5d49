//! A configuration: read, written, and read again as the same.

use lotbook_gateway::config::Config;

/// Reads it.
///
/// # Panics
/// It is written otherwise than it was read, or an error cannot be printed.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse("fuzz.toml", text) {
        Ok(config) => {
            let written = config.to_toml();
            let again = Config::parse("again.toml", &written).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again.to_toml(), written);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
