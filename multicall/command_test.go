package multicall

import (
	"reflect"
	"testing"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

func TestParseComment(t *testing.T) {
	for _, tt := range []struct {
		name, comment string
		want          dispatch.Applet
	}{
		{
			name:    "whole",
			comment: "x does it. It is good.\n\nSynopsis:\n\n\tx [-n] ARG...\n\tx -l\n\nDescription:\n\n\tLong.\n",
			want:    dispatch.Applet{Name: "x", Usage: []string{"x [-n] ARG...", "x -l"}, Summary: "x does it."},
		},
		{
			name:    "no blank lines",
			comment: "x does it.\nSynopsis:\n    x\nOptions:\n    -n: no\n",
			want:    dispatch.Applet{Name: "x", Usage: []string{"x"}, Summary: "x does it."},
		},
		{
			name:    "paragraph after it",
			comment: "x does it.\n\nSynopsis:\n\n\tx ARG\n\nIt is good.\n\n\tx example\n",
			want:    dispatch.Applet{Name: "x", Usage: []string{"x ARG"}, Summary: "x does it."},
		},
		{
			name:    "nothing below Synopsis",
			comment: "x does it.\n\nSynopsis:\n",
			want:    dispatch.Applet{Name: "x", Usage: []string{"x"}, Summary: "x does it."},
		},
		{
			name:    "no synopsis",
			comment: "x has no Synopsis: section.\n",
			want:    dispatch.Applet{Name: "x", Usage: []string{"x"}, Summary: "x has no Synopsis: section."},
		},
		{
			name: "no comment",
			want: dispatch.Applet{Name: "x", Usage: []string{"x"}},
		},
	} {
		if got := parseComment("x", tt.comment); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: parseComment(%q) = %+v, want %+v", tt.name, tt.comment, got, tt.want)
		}
	}
}
