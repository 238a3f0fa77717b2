// Package readme compares tables in README.md with the ones that packages generate.
package readme

import (
	"os"
	"strings"
	"testing"
)

// Check checks that the text of file between the line "<!-- MARK -->" and the next line
// "<!-- end -->" is want. mark names the source of the table. If update is true, Check replaces the
// text by want.
func Check(t *testing.T, file, mark, want string, update bool) {
	t.Helper()
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+" -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(readme), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Errorf("%s lacks the lines %q and %q", file, begin, end)
	case got == want:
	case update:
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the table of %s is out of date; run the test with -update", file, mark)
	}
}
