package multicall

import (
	"reflect"
	"testing"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

func TestParseComment(t *testing.T) {
	for _, tt := range []struct {
		name, comment, summary string
		usage                  []string
	}{
		{
			name: "complete",
			comment: "X runs. It stops.\n\nSynopsis:\n\n\tx [-n] ARG...\n\tx -l\n\n" +
				"Description:\n\n\tLong.\n",
			summary: "X runs.",
			usage:   []string{"x [-n] ARG...", "x -l"},
		},
		{
			name:    "continued line",
			comment: "X runs.\n\nSynopsis:\n\n\tx [-n]\n\t  [-o]\n\t\tARG\n\tx -l\n\nIt stops.\n",
			summary: "X runs.",
			usage:   []string{"x [-n] [-o] ARG", "x -l"},
		},
		{
			name:    "no blank lines",
			comment: "X runs.\nSynopsis:\n    x\nOptions:\n    -n: no\n",
			summary: "X runs.",
			usage:   []string{"x"},
		},
		{
			name:    "paragraph below the synopsis",
			comment: "X runs.\n\nSynopsis:\n\n\tx ARG\n\nIt stops.\n\n\tx example\n",
			summary: "X runs.",
			usage:   []string{"x ARG"},
		},
		{
			name:    "empty synopsis",
			comment: "X runs.\n\nSynopsis:\n",
			summary: "X runs.",
			usage:   []string{"x"},
		},
		{
			name:    "no synopsis",
			comment: "X has no Synopsis: section.\n",
			summary: "X has no Synopsis: section.",
			usage:   []string{"x"},
		},
		{name: "no comment", usage: []string{"x"}},
	} {
		got := ParseComment("x", tt.comment)
		want := dispatch.Applet{Name: "x", Usage: tt.usage, Summary: tt.summary}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: ParseComment(%q) = %+v, want %+v", tt.name, tt.comment, got, want)
		}
	}
}
