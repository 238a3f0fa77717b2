//go:build linux || freebsd

package stdio

// maxLine is the length, in bytes, to which Print cuts a line.
const maxLine = 2048

// text returns what Print writes: a line that begins with the name of the program.
func text(line string) []byte {
	if len(line) > maxLine {
		line = line[:maxLine] + "..."
	}
	return []byte("krunbox: " + line + "\n")
}
