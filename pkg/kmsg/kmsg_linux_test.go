package kmsg

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		record string
		level  int
		text   string
		ok     bool
	}{
		{"3,412,5140900,-;EXT4-fs (vda): bad geometry\n SUBSYSTEM=block\n", 3, "EXT4-fs (vda): bad geometry", true},
		{"6,1,10,-,caller=T1;text; more  ", 6, "text; more", true},
		{"0,1,10,-;", 0, "", true},
		{"11,3,12,-;from a daemon", 0, "", false},
		{"", 0, "", false}, {";", 0, "", false}, {"3;x", 3, "x", true}, {"x,1;y", 0, "", false}, {"3,y", 0, "", false}, {"-1,2;y", 0, "", false},
	} {
		if level, text, ok := Parse([]byte(c.record)); level != c.level || text != c.text || ok != c.ok {
			t.Errorf("Parse(%q) = %d, %q, %v, want %d, %q, %v", c.record, level, text, ok, c.level, c.text, c.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("3,1,10,-;EXT4-fs (vda): bad\n A=b"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if level, text, _ := Parse(record); level < 0 || level > 7 || strings.Contains(text, "\n") {
			t.Errorf("Parse() = %d, %q, want a level of 0 to 7 and one line", level, text)
		}
	})
}

// A log that could not be opened has no messages.
func TestNoLog(t *testing.T) {
	Log(-1).Each(func(int, string) { t.Error("a message") })
	Log(-1).Close()
	log := Open(unix.SEEK_SET) // may not be readable here
	log.Each(func(level int, _ string) {
		if level > 7 {
			t.Errorf("level %d", level)
		}
	})
	log.Close()
}
