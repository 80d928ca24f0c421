// Renders templates by Apache Velocity itself: what our own engine is compared with.
//
// Reads one template per line, in base64, and writes one line for each: "=" and the output in
// base64, or "!" and the error's name. Every template sees the variables that `context` makes.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;

public class Oracle {
    public static void main(String[] args) throws Exception {
        VelocityEngine engine = new VelocityEngine();
        engine.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
        engine.setProperty("input.encoding", "UTF-8");
        engine.init();
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String template =
                new String(Base64.getDecoder().decode(line.trim()), StandardCharsets.UTF_8);
            try {
                StringWriter result = new StringWriter();
                engine.evaluate(context(), result, "t", template);
                byte[] bytes = result.toString().getBytes(StandardCharsets.UTF_8);
                out.println("=" + Base64.getEncoder().encodeToString(bytes));
            } catch (Throwable error) {
                out.println("!" + error.getClass().getSimpleName());
            }
        }
    }

    private static VelocityContext context() {
        List<Object> list = new ArrayList<>(List.of("a", "b", "c"));
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("name", "rex");
        map.put("age", 7);
        map.put("list", new ArrayList<>(list));
        VelocityContext context = new VelocityContext();
        context.put("text", "Hello World");
        context.put("number", 42);
        context.put("long", 42L);
        context.put("real", 2.5);
        context.put("yes", true);
        context.put("no", false);
        context.put("list", list);
        context.put("map", map);
        context.put("e", "");
        return context;
    }
}
