//go:build software

package software

import (
	"io"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// startTerminal boots a machine whose console is the terminal of its user.
func startTerminal(t *testing.T, cfg vm.Config) *guest {
	t.Helper()
	g := &guest{t: t}
	keyboard, w := io.Pipe()
	g.stdin, cfg.ConsoleIn = w, keyboard
	g.boot(cfg)
	return g
}

// enter types text on the keyboard of the guest's terminal.
func (g *guest) enter(text string) {
	g.t.Helper()
	if _, err := io.WriteString(g.stdin, text); err != nil {
		g.t.Fatal(err)
	}
}
