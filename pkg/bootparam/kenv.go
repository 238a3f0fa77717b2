package bootparam

// Kenv returns the variables for init in the kernel environment of FreeBSD, kenv(1), as entries
// NAME=VALUE. A host leaves them there because this kernel gives its first process no environment.
// get returns the value of a variable, and whether it is set.
func Kenv(get func(name string) (value string, ok bool)) []string {
	var environ []string
	for _, row := range table {
		if !row.FreeBSD {
			continue
		}
		if value, ok := get(row.Name); ok {
			environ = append(environ, row.Name+"="+value)
		}
	}
	return environ
}
