//go:build software

package software

import "testing"

// TestNginxUnprivileged runs nginx as its user, with the links for the logs.
func TestNginxUnprivileged(t *testing.T) {
	t.Parallel()
	i := nginxImage
	i.User = "nginx"
	i.Cmd = append(i.Cmd, "-c", "/etc/nginx/unprivileged.conf")
	g := startServer(t, nginxRoot.machine(t, i.withControl()))
	if status, body := g.get(8080, "/"); status != 200 || body != "<h1>Welcome</h1>\n" {
		t.Errorf("GET / = %d, %q", status, body)
	}
	g.get(8080, "/missing")
	g.stdout.wait(t, `"GET / HTTP/1.1" 200`)
	g.stderr.wait(t, "failed (2: No such file or directory)")
	g.exec("kill -TERM 1")
	g.wantExit(0)
	wantLines(t, g.stderr.String(), "gracefully shutting down")
}
