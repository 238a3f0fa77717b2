//go:build software

package software

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestNodeServer sends a request with a body to an HTTP server and stops it.
func TestNodeServer(t *testing.T) {
	t.Parallel()
	i := nodeImage
	i.Cmd = []string{"node", "server.js"}
	g := startServer(t, nodeRoot.machine(t, i.withControl()))
	body := strings.Repeat("data ", 200000)
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://guest/echo", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.client(3000).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); err != nil || string(got) != body {
		t.Errorf("POST /echo = %d bytes, %v, want %d bytes", len(got), err, len(body))
	}
	g.stdout.wait(t, "POST /echo\n")
	g.exec("kill -TERM 1")
	g.stderr.wait(t, "closed\n")
	g.wantExit(0)
}

// TestNodeTerminal types at node's prompt.
func TestNodeTerminal(t *testing.T) {
	t.Parallel()
	g := startTerminal(t, nodeRoot.machine(t, nodeImage))
	g.console.wait(t, "> ")
	g.enter("6 * 7\r")
	g.console.wait(t, "42")
	g.enter("console.log('up'); while (true);\r")
	g.console.wait(t, "\nup")
	g.enter("\x03") // Ctrl-C interrupts the loop
	g.console.wait(t, "interrupted")
	g.enter("process.exit(4)\r")
	g.wantExit(4)
}
