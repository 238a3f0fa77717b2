package cases

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/probe"
)

// crunDifferences documents the differences from crun and the reasons for them.
const crunDifferences = "../DIFFERENCES.md"

// A difference is a line of the tables in a document: patterns for a field and for its values under
// krunbox and under another program. An asterisk matches any text.
type difference struct {
	line                  int
	input                 string // pattern for the names of inputs
	field, krunbox, other string
}

func (k difference) matches(d probe.Difference) bool {
	return matches(k.field, d.Field) && matches(k.krunbox, d.A) && matches(k.other, d.B)
}

// matches reports whether pattern matches the whole text.
func matches(pattern, text string) bool {
	start, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	text, found = strings.CutPrefix(text, start)
	for found && !matches(rest, text) {
		if text == "" {
			return false
		}
		text = text[1:]
	}
	return found
}

// readDifferences reads the tables of a document, whose lines have the format
//
//	| `input` | `field` | `value` | `value under the other program` | reason |
//
// The first column may be missing. A column with the word none, without quotes, stands for an
// absent field.
func readDifferences(t *testing.T, document string) []difference {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var list []difference
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		columns := strings.Split(strings.Trim(line, "| "), " | ")
		if len(columns) == 4 {
			columns = slices.Insert(columns, 0, "*")
		}
		if len(columns) != 5 || len(columns[4]) == 0 {
			t.Fatalf("%s:%d: want four or five columns with a reason in the last", document, i+1)
		}
		for j, column := range columns {
			columns[j] = strings.Trim(column, "`")
			if column == "none" {
				columns[j] = ""
			}
		}
		list = append(list, difference{i + 1, columns[0], columns[1], columns[2], columns[3]})
	}
	return list
}

// TestDifferencePattern checks matches.
func TestDifferencePattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"*", "", true}, {"a*c", "ac", true}, {"a*c", "abbc", true}, {"a*c", "ab", false},
		{"a*b*", "aab", true}, {"*b", "abab", true}, {"*b", "aba", false},
	} {
		if got := matches(tt.pattern, tt.text); got != tt.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}
