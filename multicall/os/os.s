// The compiler takes functions without a body where a package has a file in assembly.
