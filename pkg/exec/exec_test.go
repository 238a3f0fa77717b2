//go:build linux || freebsd

package exec

import (
	"slices"
	"testing"
)

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want []string
	}{
		{"/bin/ls", []string{"PATH=/usr/bin"}, []string{"/bin/ls"}},
		{"./ls", []string{"PATH=/usr/bin"}, []string{"./ls"}},
		{"ls", []string{"PATH=/no", "PATH=/usr/bin:/bin", "PATHS=/x"},
			[]string{"/usr/bin/ls", "/bin/ls"}},
		{"ls", []string{"PATH=:/bin:"}, []string{"./ls", "/bin/ls", "./ls"}},
		{"ls", []string{"PATH="}, []string{"./ls"}},
		{"ls", nil, []string{"/usr/local/sbin/ls", "/usr/local/bin/ls", "/usr/sbin/ls",
			"/usr/bin/ls", "/sbin/ls", "/bin/ls"}},
		{"", []string{"PATH=/bin"}, []string{""}},
	} {
		if got := candidates(c.name, c.env); !slices.Equal(got, c.want) {
			t.Errorf("candidates(%q, %q) = %q, want %q", c.name, c.env, got, c.want)
		}
	}
}
