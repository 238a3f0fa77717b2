package bootparam

// Kenv returns the variables for init that the kernel environment of FreeBSD has, kenv(1), as entries NAME=VALUE: that is
// where a host leaves them, for this kernel gives its first process no environment. get returns the value of a variable, and
// whether it is set.
func Kenv(get func(name string) (value string, ok bool)) []string {
	var environ []string
	for _, name := range [...]string{
		EnvHostname, EnvConfig, EnvHome, EnvInit, EnvInitPID1, EnvRlimits, EnvTerm, EnvWorkdir,
	} {
		if value, ok := get(name); ok {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}
