package guard

const alternatives = "or with --force"

// inOwnNamespace returns false: FreeBSD has no mount namespaces.
func inOwnNamespace() bool { return false }

// isGuest returns false: the applets that change a guest are for Linux.
func isGuest() bool { return false }
