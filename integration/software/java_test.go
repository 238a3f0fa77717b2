//go:build software

package software

import (
	"strings"
	"testing"
)

// javaRoot runs a server on a JVM. It is a script of Rhino, JavaScript in Java, because Debian's
// package of the runtime has no compiler.
var javaRoot = root{
	Name:     "java",
	Packages: []string{"openjdk-17-jre-headless", "librhino-java"},
	Files: map[string]string{
		"app/server.js": `
importPackage(java.io, java.lang, java.net, java.util.concurrent)
Runtime.getRuntime().addShutdownHook(new Thread(function () { System.out.println("stopped") }))
var pool = Executors.newFixedThreadPool(8), tasks = []
for (var i = 0; i < 1000; i++) {
	tasks.push(pool.submit(new Callable({ call: (function (n) { return function () { return n } })(i) })))
}
var sum = tasks.reduce(function (sum, task) { return sum + Number(task.get()) }, 0)
var file = File.createTempFile("demo", ".txt")
var facts = [sum, InetAddress.getLocalHost().getHostName(), System.getProperty("user.name"), file.length(),
	Runtime.getRuntime().maxMemory() <= 300 * 1024 * 1024]
var server = new ServerSocket(8080)
System.err.println("ready")
while (true) {
	var connection = server.accept()
	var request = new BufferedReader(new InputStreamReader(connection.getInputStream())).readLine()
	var output = new PrintStream(connection.getOutputStream())
	output.print("HTTP/1.0 200 OK\r\n\r\n" + request + ": " + facts.join(" "))
	output.close()
	connection.close()
}
`,
	},
}

// javaImage takes a quarter of the memory for the heap, as the JVM does by itself.
var javaImage = image{
	Cmd:        []string{"java", "-jar", "/usr/share/java/js.jar", "-opt", "-1", "server.js"},
	Env:        []string{"PATH=/usr/lib/jvm/java-17-openjdk-amd64/bin:/usr/bin:/bin"},
	WorkingDir: "/app",
	User:       "daemon",
	Hostname:   "web1",
}

func TestJava(t *testing.T) {
	t.Parallel()
	g := startServer(t, javaRoot.machine(t, javaImage.withControl()))
	g.stderr.wait(t, "ready\n")
	status, body := g.get(8080, "/path")
	if want := "GET /path HTTP/1.1: 499500 web1 daemon 0 true"; status != 200 || strings.TrimSpace(body) != want {
		t.Errorf("GET /path = %d, %q, want %q", status, body, want)
	}
	g.exec("kill -TERM 1")
	g.stdout.wait(t, "stopped\n")
	g.wantExit(143) // Java's code for TERM
}
