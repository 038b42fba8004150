import java.lang.reflect.Method;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/** Starts a single Elasticsearch node out of its jars: Launcher HOME PORT. */
public class Launcher {
  public static void main(String[] arguments) throws Exception {
    Settings settings =
        Settings.builder()
            .put("path.home", arguments[0])
            .put("cluster.name", "rerank-proxy-tests")
            .put("node.name", "node")
            .put("http.port", arguments[1])
            .put("transport.port", "0")
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    LogConfigurator.configureWithoutConfig(settings);
    LogConfigurator.configureESLogging();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node");
    // The last argument: the server is on the class path here, it is no named module.
    PluginsLoader loader =
        PluginsLoader.createPluginsLoader(modules(environment), Set.of(), Map.of(), false);
    new Node(environment, loader).start();
    new CountDownLatch(1).await();
  }

  /** Version 9 has a second parameter. */
  @SuppressWarnings("unchecked")
  private static Set<PluginBundle> modules(Environment environment) throws Exception {
    for (Method method : PluginsLoader.class.getMethods()) {
      if (method.getName().equals("loadModulesBundles")) {
        return (Set<PluginBundle>)
            (method.getParameterCount() == 1
                ? method.invoke(null, environment.modulesDir())
                : method.invoke(null, environment.modulesDir(), false));
      }
    }
    throw new IllegalStateException("PluginsLoader has no loadModulesBundles");
  }
}
