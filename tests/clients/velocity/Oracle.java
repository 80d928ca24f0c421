// Renders templates by Apache Velocity itself: what our own engine is compared with.
//
// Reads one template per line, in base64, and writes one line for each: "=" and the output in
// base64, or "!" and the error's name.
//
// AWS's one difference from Velocity is added by Velocity's own means: a reference that comes to
// nothing is the empty text. All recordings of API Gateway agree with this.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;
import org.apache.velocity.app.event.EventCartridge;
import org.apache.velocity.app.event.InvalidReferenceEventHandler;
import org.apache.velocity.context.Context;
import org.apache.velocity.util.introspection.Info;

public class Oracle {
    static class NothingIsEmpty implements InvalidReferenceEventHandler {
        public Object invalidGetMethod(
                Context context, String reference, Object object, String property, Info info) {
            return "";
        }

        public boolean invalidSetMethod(
                Context context, String left, String right, Info info) {
            return false;
        }

        public Object invalidMethod(
                Context context, String reference, Object object, String method, Info info) {
            return "";
        }
    }

    public static void main(String[] args) throws Exception {
        VelocityEngine engine = new VelocityEngine();
        engine.setProperty(
            "runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
        engine.setProperty("input.encoding", "UTF-8");
        engine.init();
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String template =
                new String(Base64.getDecoder().decode(line.trim()), StandardCharsets.UTF_8);
            try {
                VelocityContext context = new VelocityContext();
                EventCartridge events = new EventCartridge();
                events.addInvalidReferenceEventHandler(new NothingIsEmpty());
                events.attachToContext(context);
                StringWriter result = new StringWriter();
                engine.evaluate(context, result, "t", template);
                byte[] bytes = result.toString().getBytes(StandardCharsets.UTF_8);
                out.println("=" + Base64.getEncoder().encodeToString(bytes));
            } catch (Throwable error) {
                out.println("!" + error.getClass().getSimpleName());
            }
        }
    }
}
