package guard

const alternatives = "or with --force"

// inOwnNamespace returns false: FreeBSD has no mount namespaces.
func inOwnNamespace() bool { return false }
