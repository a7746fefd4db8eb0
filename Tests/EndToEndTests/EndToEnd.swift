import Testing

/// Everything here starts real processes that talk real TLS, as a user would, and sees them only
/// from the outside: exit codes, output, files, and the status socket.
///
/// One test at a time: each fills the machine by itself.
@Suite(.serialized, .timeLimit(.minutes(3))) enum EndToEnd {}
