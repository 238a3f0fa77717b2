package guestconfig

// unsupported are the fields that change what a workload can see or do, and
// that Config does not hold.
var unsupported = [...]struct {
	object string // path of the object the field is in, empty at top level
	name   string
}{
	{"", "User"}, // of an image: a name or number that the host has not resolved
	{"", "domainname"},
	{"linux", "devices"},
	{"linux", "maskedPaths"},
	{"linux", "personality"},
	{"linux", "readonlyPaths"},
	{"linux", "seccomp"},
	{"linux", "sysctl"},
	{"process", "User"},
	{"process", "apparmorProfile"},
	{"process", "capabilities"},
	{"process", "execCPUAffinity"},
	{"process", "ioPriority"},
	{"process", "noNewPrivileges"},
	{"process", "oomScoreAdj"},
	{"process", "scheduler"},
	{"process", "selinuxLabel"},
	{"process.user", "username"},
	{"root", "readonly"},
}

// unsupportedField takes note of a field of object if it is an unsupported one.
func (p *parser) unsupportedField(object string, name []byte) (known bool, err error) {
	for i, field := range unsupported {
		if field.object == object && field.name == string(name) {
			start := p.pos
			err := p.skip()
			p.unsupported[i] = err == nil && asksForSomething(p.data[start:p.pos])
			return true, err
		}
	}
	return false, nil
}

// asksForSomething tells values from those that stand for the default.
func asksForSomething(value []byte) bool {
	switch string(value) {
	case "false", "0", `""`:
		return false
	}
	switch value[0] {
	case '[', '{':
		for _, c := range value[1 : len(value)-1] {
			if !isSpace(c) {
				return true
			}
		}
		return false
	}
	return true
}

// unsupportedFields returns the paths of the fields taken note of.
func (p *parser) unsupportedFields() []string {
	var paths []string
	for i, field := range unsupported {
		if p.unsupported[i] {
			path := field.name
			if field.object != "" {
				path = field.object + "." + field.name
			}
			paths = append(paths, path)
		}
	}
	return paths
}
