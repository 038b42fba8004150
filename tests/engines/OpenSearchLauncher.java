import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/** Starts OpenSearch with settings that its runner has no option for: OpenSearchLauncher YAML OPTION... */
public class OpenSearchLauncher {
  public static void main(String[] arguments) throws Exception {
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.onBuild(
        (number, settings) -> {
          try {
            settings.loadFromPath(Path.of(arguments[0]));
          } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
          }
        });
    runner.build(Arrays.copyOfRange(arguments, 1, arguments.length));
    new CountDownLatch(1).await();
  }
}
