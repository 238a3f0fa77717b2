package guestconfig

import (
	"slices"
	"strconv"
)

// unsupported are the fields that change what a workload can see or do, and
// that Config does not hold.
var unsupported = [...]struct {
	object string // path of the object the field is in, or of a list of them
	name   string
}{
	{"linux", "memoryPolicy"},
	{"linux", "personality"},
	{"linux", "seccomp"},
	{"linux", "timeOffsets"},
	{"mounts", "gidMappings"},
	{"mounts", "uidMappings"},
	{"process", "apparmorProfile"},
	{"process", "selinuxLabel"},
}

// unsupportedField takes note of a field of object if it is an unsupported one.
// In a list of objects, and of objects given twice, one that asks for it will do.
func (p *parser) unsupportedField(object string, name []byte) (known bool, err error) {
	for i, field := range unsupported {
		if field.object == object && field.name == string(name) {
			start := p.pos
			err := p.skip()
			if err == nil && asksForSomething(p.data[start:p.pos]) {
				p.unsupported[i] = true
			}
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
			paths = append(paths, field.object+"."+field.name)
		}
	}
	return paths
}

// maxUnknown is how many unknown values are reported; a file can have any number of them.
const maxUnknown = 16

// unknown takes note of a value that means nothing here. The same is noted once.
func (p *parser) unknown(field, value string) {
	note := field + " " + strconv.Quote(clip(value))
	if len(p.Unsupported) < maxUnknown && !slices.Contains(p.Unsupported, note) {
		p.Unsupported = append(p.Unsupported, note)
	}
}
