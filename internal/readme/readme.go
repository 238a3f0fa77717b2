// Package readme compares tables in README.md with the ones that packages generate.
package readme

import (
	"os"
	"strings"
	"testing"
)

// Check compares want with what stands in file between the line "<!-- MARK -->", which names the
// source of the table, and the next "<!-- end -->". With update, it writes want there instead.
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
		t.Errorf("%s has another table of %s; -update writes it anew", file, mark)
	}
}
